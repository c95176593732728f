"""The computation of a training step before any variable changes: one forward pass, the losses, and their gradients.

Because XLA may compile it, and every replica computes it separately, it neither reads nor writes variables. Values are
passed in as one list of tensors, and values that the forward pass would write are returned.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from agad_tf.models.replicas import all_finite, everywhere, sum_over_replicas

if TYPE_CHECKING:
    from collections.abc import Callable


class TrainedNetwork(NamedTuple):
    """A network, or part of one, with its own loss.

    Attributes:
        loss: name of the loss.
        weights: θ, trained by this loss.
        optimizer: of the weights.
    """

    loss: str
    weights: list[keras.Variable]
    optimizer: keras.optimizers.Optimizer


class Gradients(NamedTuple):
    """The results of one replica.

    Attributes:
        of: gradients of a network's loss for each of its weights, by the network's name.
        written: values for variables, such as moving statistics, by their position in the step's list.
        losses: by name, float (batch,) each.
        finite: bool scalar; gradients of a scaled loss are checked by the optimizer that scales it.
    """

    of: dict[str, list[tf.Tensor]]
    written: dict[str, tf.Tensor]
    losses: dict[str, tf.Tensor]
    finite: tf.Tensor


class Step(NamedTuple):
    """The results of one replica, and the common result of all.

    Attributes:
        gradients: of this replica.
        finite: bool scalar, the same in all replicas: all numbers in all replicas are finite.
        discriminator_loss: L_d, float scalar, the same in all replicas: the mean over all their images.
    """

    gradients: Gradients
    finite: tf.Tensor
    discriminator_loss: tf.Tensor


class StepComputer:
    """Computes the steps of a model.

    Args:
        batch_losses: returns every loss of a batch by its name, float (batch,) each, from the tensors of the batch.
        variables: all that the losses depend on, including the trained weights.
        trained: the networks that are trained, by name.
        jit_compile: whether XLA compiles the computation.
    """

    def __init__(
        self,
        batch_losses: Callable[..., dict[str, tf.Tensor]],
        variables: list[keras.Variable],
        trained: dict[str, TrainedNetwork],
        jit_compile: bool,
    ):
        self.batch_losses = batch_losses
        self.variables = variables
        self.trained = trained
        place = {id(variable): number for number, variable in enumerate(variables)}
        self._places = {name: [place[id(weight)] for weight in own.weights] for name, own in trained.items()}
        self.compiles = jit_compile
        self._gradients = (
            tf.function(self._compute, jit_compile=True, autograph=False) if jit_compile else self._compute
        )

    def __call__(self, images: tf.Tensor, *others: tf.Tensor) -> Step:
        """Computes the step of a replica.

        A replica's losses are sums over its images, divided by the number of images in all replicas, so the sum of
        gradients over replicas is the gradient of the whole batch.

        Args:
            images: float (batch, height, width, channels) in [-1, 1].
            others: other arguments of the losses, such as labels, float (batch,).
        """
        image_count = sum_over_replicas(tf.cast(tf.shape(images)[0], tf.float32))
        values = [tf.convert_to_tensor(variable) for variable in self.variables]
        gradients = self._gradients((images, *others), image_count, values)
        discriminator_loss = tf.reduce_sum(gradients.losses["discriminator_loss"]) / image_count
        return Step(gradients, everywhere(gradients.finite), sum_over_replicas(discriminator_loss))

    def written(self, step: Step) -> tuple[list[keras.Variable], list[tf.Tensor]]:
        """The variables that the forward pass writes, and their new values in this replica."""
        written = step.gradients.written
        return [self.variables[int(place)] for place in written], list(written.values())

    def _compute(self, batch: tuple[tf.Tensor, ...], image_count: tf.Tensor, values: list[tf.Tensor]) -> Gradients:
        weights = {name: [values[place] for place in places] for name, places in self._places.items()}
        with contextlib.ExitStack() as contexts:
            scope = contexts.enter_context(
                keras.StatelessScope(list(zip(self.variables, values, strict=True)), collect_losses=True)
            )
            # Each tape watches only one network, so that no unneeded gradients are computed.
            tapes = {
                name: contexts.enter_context(tf.GradientTape(watch_accessed_variables=False)) for name in self.trained
            }
            for name, tape in tapes.items():
                tape.watch(weights[name])
            before = [scope.get_current_value(variable) for variable in self.variables]
            found = self.batch_losses(*batch)
            losses = {
                name: own.optimizer.scale_loss(tf.reduce_sum(found[own.loss]) / image_count)
                for name, own in self.trained.items()
            }
        gradients = {
            name: tape.gradient(losses[name], weights[name], unconnected_gradients=tf.UnconnectedGradients.ZERO)
            for name, tape in tapes.items()
        }
        after = [scope.get_current_value(variable) for variable in self.variables]
        written = {
            str(place): new for place, (old, new) in enumerate(zip(before, after, strict=True)) if new is not old
        }
        unguarded = [
            gradient
            for name, own in self.trained.items()
            if not isinstance(own.optimizer, keras.optimizers.LossScaleOptimizer)
            for gradient in gradients[name]
        ]
        finite = all_finite([*unguarded, *written.values(), *found.values()])
        return Gradients(gradients, written, found, finite)


def require_labels(labels: Any) -> None:
    """Checks labels before the first step.

    Args:
        labels: an array or tensor, or None.

    Raises:
        ValueError: a label is neither 0 nor 1.
    """
    if labels is None:
        return
    found = np.unique(np.asarray(labels))
    if not np.isin(found, (0, 1)).all():
        raise ValueError(
            f"Labels must be 0 for normal and 1 for abnormal images; among these are {found[:5].tolist()}."
        )


def require_floats(images: Any) -> None:
    """Checks the dtype of images.

    Raises:
        ValueError: they are integers, which cannot be in [-1, 1].
    """
    if not tf.as_dtype(images.dtype).is_floating:
        raise ValueError(
            f"Images are {tf.as_dtype(images.dtype).name}; give floats in [-1, 1], which is the range of the networks."
        )


def read_batch(data: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns images and labels from the data that `fit` passes to a step.

    Args:
        data: images, or images and labels; without labels all images count as normal.

    Returns:
        Images as given, and labels, float (batch,): 0 normal, 1 abnormal.

    Raises:
        ValueError: there are weights, or more than one label for an image.
        tf.errors.InvalidArgumentError: a label is neither 0 nor 1.
    """
    images, labels, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    if sample_weight is not None:
        raise ValueError("AGAD's losses are weighted only by label; leave out sample_weight and class_weight.")
    require_floats(images)
    if labels is None:
        return images, tf.zeros(tf.shape(images)[:1])
    labels = tf.convert_to_tensor(labels)
    if labels.shape.rank is not None and any(size != 1 for size in labels.shape[1:]):
        raise ValueError(
            f"Labels have shape {tuple(labels.shape)}; give one number for each image, 0 for normal and 1 for abnormal."
        )
    labels = tf.reshape(tf.cast(labels, tf.float32), [-1])
    are_labels = tf.debugging.Assert(
        tf.reduce_all(tf.logical_or(labels == 0, labels == 1)),
        ["Labels must be 0 for normal and 1 for abnormal images; these are", labels],
        summarize=8,
    )
    with tf.control_dependencies([are_labels] if are_labels is not None else []):
        return images, tf.identity(labels)


def unknown_where(labels: tf.Tensor) -> tf.Tensor:
    """NaN for anomalies and 0 for normal images, float (batch, 1, 1, 1)."""
    return tf.where(labels == 1, float("nan"), 0.0)[:, tf.newaxis, tf.newaxis, tf.newaxis]


def read_batch_and_masks(data: Any) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Images, labels and masks from the data of `fit`; masks are NaN for anomalies without any."""
    pair, masks = (data[:2], data[2]) if isinstance(data, tuple) and len(data) == 3 else (data, None)
    images, labels = read_batch(pair)
    images = tf.convert_to_tensor(images)
    if masks is None:
        return images, labels, tf.zeros_like(images[..., :1]) + unknown_where(labels)
    return images, labels, tf.ensure_shape(tf.cast(masks, tf.float32), (None, *images.shape[1:3], 1))
