"""Copies of a network: with separate weights, or only with separate batch normalisation."""

from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from agad_tf.networks.keras_internals import all_layers


def image_shape_of(network: keras.Model) -> tuple[int, ...]:
    """Height, width and channels of the images that a network takes.

    Raises:
        ValueError: the network has not been built.
    """
    shape = getattr(network, "input_shape", None) or (network.get_build_config() or {}).get("input_shape")
    if shape is None or len(shape) != 4:
        raise ValueError(
            f"{type(network).__name__} '{network.name}' takes inputs of shape {shape}; AGAD needs a network for images "
            "(batch, height, width, channels): give it a keras.Input, or call it on images first."
        )
    return tuple(shape[1:])


def copy_of(network: keras.Model, name: str) -> keras.Model:
    """Makes a network of the same form with separate weights, which begin with the same values.

    Its variables are not trainable, because no optimizer trains them, but its layers can still use batch statistics.

    Args:
        network: functional, Sequential, or of a class with `get_config`.
        name: of the copy.
    """
    copy = keras.models.clone_model(network)
    if not copy.built:
        copy.build((None, *image_shape_of(network)))
    copy.name = name
    for variable, original in zip(copy.variables, network.variables, strict=True):
        variable.assign(original)
        variable.trainable = False
    return copy


def with_auxiliary_normalization(network: keras.Model, name: str) -> keras.Model:
    """Makes a network of the same layers with separate batch normalisation layers, as in AdvProp.

    Args:
        network: functional or Sequential; nested models are included.
        name: of the result.

    Returns:
        A network that shares all other weights with the given one. Its separate ones begin as copies.

    Raises:
        ValueError: its layers are not accessible, or none is a batch normalisation.
    """
    if not isinstance(network, (keras.Sequential, keras.models.Model)) or not hasattr(network, "input_shape"):
        raise ValueError(
            "pseudo_anomaly_normalization='auxiliary' needs a functional or Sequential generator, but "
            f"{type(network).__name__} is neither. Choose 'shared'."
        )

    def with_own_statistics(layer: keras.layers.Layer) -> keras.layers.Layer:
        is_normalization = isinstance(layer, keras.layers.BatchNormalization)
        return type(layer).from_config(layer.get_config()) if is_normalization else layer

    auxiliary = keras.models.clone_model(network, clone_function=with_own_statistics, recursive=True)
    auxiliary.name = name
    layers = batch_normalizations(network)
    if not layers:
        raise ValueError(
            "pseudo_anomaly_normalization='auxiliary' needs batch normalisation, but the generator has none; choose "
            "'shared'."
        )
    for own, shared in zip(batch_normalizations(auxiliary), layers, strict=True):
        for variable, original in zip(own.variables, shared.variables, strict=True):
            variable.assign(original)
    return auxiliary


def resized(network: keras.Model, size: tuple[int, int]) -> keras.Model:
    """Makes a network of the same layers, with the same weights, for images of another size.

    Args:
        network: functional, and convolutional throughout.
        size: height and width of the images in pixels.
    """
    images = keras.Input((*size, network.input_shape[-1]))
    return keras.models.clone_model(network, input_tensors=images, clone_function=lambda layer: layer)


def resized_to(network: keras.Model, size: tuple[int, int]) -> keras.Model:
    """As `resized`; the network itself if its images already have that size."""
    return network if tuple(network.input_shape[1:3]) == tuple(size) else resized(network, size)


def batch_normalizations(network: keras.Model) -> list[keras.layers.BatchNormalization]:
    """The batch normalisation layers of a network at any depth."""
    return [layer for layer in all_layers(network) if isinstance(layer, keras.layers.BatchNormalization)]


def own_variables(network: keras.Model, *others: keras.Model) -> Iterator[keras.Variable]:
    """The variables of a network that no other network has."""
    shared = {id(variable) for other in others for variable in other.variables}
    return (variable for variable in network.variables if id(variable) not in shared)


def call_keeping_statistics(network: keras.Model, images: tf.Tensor, training: bool = True) -> tf.Tensor:
    """Calls a network without updating its moving statistics, even in training mode.

    Args:
        network: G or D.
        images: float (batch, height, width, channels) in [-1, 1].
        training: whether batch normalisation uses the statistics of the batch.

    Returns:
        The output of the network.
    """
    trainable, non_trainable = (
        [variable.value for variable in variables]
        for variables in (network.trainable_variables, network.non_trainable_variables)
    )
    outputs, _ = network.stateless_call(trainable, non_trainable, images, training=training)
    return in_float32(outputs)


def in_float32(outputs: Any) -> Any:
    """Outputs of a network as float32, because losses and scores are sums of many terms."""
    return keras.tree.map_structure(lambda output: keras.ops.cast(output, "float32"), outputs)
