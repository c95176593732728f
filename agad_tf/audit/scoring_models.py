"""Models of any origin as functions from a batch of images to scores."""

import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from agad_tf.config.choices import BASELINES
from agad_tf.config.errors import RunError, UsageError
from agad_tf.config.flags import read_config
from agad_tf.data.preprocessing import resized, to_network_range
from agad_tf.models.agad import AGAD
from agad_tf.models.network_copies import call_keeping_statistics
from agad_tf.models.scores import reconstruction_norm
from agad_tf.training.restore import restore

ScoreImages = Callable[[np.ndarray], np.ndarray]
"""Scores uint8 (images, height, width, channels) as one batch: float (images,), higher is more abnormal."""


def load_scoring_model(path: Path, training_mode: bool = False, input_range: str | None = None) -> ScoreImages:
    """Loads a model to score images with.

    An output of shape (images,) or (images, 1) is a score. An output with the shape of the input is a reconstruction,
    and the score is the L2 norm of the difference. If there are several outputs, the one named "score" is used.

    Args:
        path: folder of a SavedModel, whose signature "serving_default" is called; a .keras file; or folder of a
            finished run. Images are resized to the model's input size.
        training_mode: whether to call a Keras model in training mode; its moving statistics do not change.
        input_range: one of `agad_tf.config.choices.INPUT_RANGES`, the range of the model's input; None means
            `usual_range`.

    Returns:
        The function that scores a batch. It raises UsageError if the images do not fit the model or its output is
        neither, and RunError if the model fails.

    Raises:
        UsageError: there is no such model, or it is of another kind.
        RunError: the model cannot be loaded.
    """
    input_range = input_range or usual_range(path)
    if tf.saved_model.contains_saved_model(path):
        if training_mode:
            raise UsageError(f"{path} is a SavedModel, which has no training mode; name its run or a .keras file.")
        return _scorer(path, _saved_model(path, input_range))
    if (path / "config.cfg").exists():
        config = read_config(path)
        if config.method in BASELINES:
            raise UsageError(f"{path} is a run of --method={config.method}, which has no model; audit another run.")
        return _scorer(path, _of_keras(restore(config), training_mode, input_range))
    if path.suffix != ".keras" or not path.is_file():
        raise UsageError(
            f"{path} is not a model; name the folder of a SavedModel or of a run, or an existing .keras file."
        )
    return _scorer(path, _keras_model(path, training_mode, input_range))


def usual_range(path: Path) -> str:
    """The usual input range of a kind of model: pixels for a SavedModel, otherwise [-1, 1].

    Args:
        path: of the model.

    Returns:
        One of `agad_tf.config.choices.INPUT_RANGES`.
    """
    return "0..255" if tf.saved_model.contains_saved_model(path) else "-1..1"


class _Network(NamedTuple):
    """A model in the form that the audit uses."""

    call: Callable[[tf.Tensor], Any]
    prepare: Callable[[np.ndarray], tf.Tensor]  # makes its input of uint8 images
    shape: Any  # of its input, (batch, height, width, channels) with None where any size will do, if it takes images


def _saved_model(path: Path, input_range: str) -> _Network:
    loaded = _loaded(path, tf.saved_model.load)
    if "serving_default" not in loaded.signatures:
        raise UsageError(f"{path} has no signature 'serving_default'; export the model with this signature.")
    inputs = loaded.signatures["serving_default"].structured_input_signature[1]
    if len(inputs) != 1:
        raise UsageError(f"{path} takes {len(inputs)} inputs; export the model with images as its only input.")
    ((name, spec),) = inputs.items()

    def prepare(images: np.ndarray) -> tf.Tensor:
        return tf.cast(_in_range(images, spec.shape[1] if spec.shape.rank else None, input_range), spec.dtype)

    def call(pixels: tf.Tensor) -> Any:
        # Through `loaded`, which must stay alive as long as its signatures use its variables.
        return loaded.signatures["serving_default"](**{name: pixels})

    return _Network(call, prepare, spec.shape.as_list() if spec.shape.rank else None)


def _keras_model(path: Path, training_mode: bool, input_range: str) -> _Network:
    if not zipfile.is_zipfile(path):
        raise RunError(f"{path} is damaged: a .keras file must be a zip archive; save the model again.")
    # Without safe_mode, a file could run its own code.
    return _of_keras(_loaded(path, partial(keras.models.load_model, safe_mode=True)), training_mode, input_range)


def _of_keras(model: keras.Model, training_mode: bool, input_range: str) -> _Network:
    network = model.generator if isinstance(model, AGAD) else model
    shape: Any = getattr(network, "input_shape", None)

    def call(inputs: tf.Tensor) -> Any:
        if isinstance(model, AGAD):
            return model.reconstruct_and_score(inputs, batch_statistics=training_mode)[1]
        return call_keeping_statistics(model, inputs, training=training_mode)

    def prepare(images: np.ndarray) -> tf.Tensor:
        return _in_range(images, shape[1], input_range)

    return _Network(tf.function(call, reduce_retracing=True), prepare, shape)


def _in_range(images: np.ndarray, side: int | None, input_range: str) -> tf.Tensor:
    """Resizes uint8 images to a side, if one is given, and scales them to one of `INPUT_RANGES`."""
    pixels = resized(images, side or images.shape[1])
    return {"0..255": pixels, "0..1": pixels / 255, "-1..1": to_network_range(pixels)}[input_range]


def _loaded(path: Path, load: Callable[[str], Any]) -> Any:
    try:
        return load(str(path))
    except (PermissionError, tf.errors.PermissionDeniedError) as error:
        raise PermissionError(f"{path} may not be read; give this user the permission to read it.") from error
    except Exception as error:  # a file that anyone wrote may fail in any way
        raise RunError(f"{path} cannot be loaded ({_sentence(error)}); save the model again.") from error


def _scorer(path: Path, network: _Network) -> ScoreImages:
    shape = network.shape
    if not shape or len(shape) != 4 or shape[1] != shape[2]:
        raise UsageError(
            f"{path} takes an input of shape {shape}; the audit needs a model of square images, "
            "(batch, side, side, channels)."
        )

    def score(images: np.ndarray) -> np.ndarray:
        if shape[3] not in (None, images.shape[3]):
            raise UsageError(
                f"{path} takes images of {shape[3]} channels, but these have {images.shape[3]}; use the data set that "
                "it was trained on."
            )
        inputs = network.prepare(images)
        try:
            output = network.call(inputs)
        except (ValueError, TypeError, tf.errors.OpError) as error:
            raise RunError(
                f"{path} fails on a batch of shape {tuple(inputs.shape)} ({_sentence(error)}); "
                "it must take batches of any number of images."
            ) from error
        return _as_scores(path, output, inputs)

    return score


def _as_scores(path: Path, output: Any, inputs: tf.Tensor) -> np.ndarray:
    if isinstance(output, dict) and "score" in output:
        output = output["score"]
    outputs = tf.nest.flatten(output)
    if len(outputs) == 1:
        (found,) = outputs
        if found.shape == inputs.shape:
            return np.asarray(reconstruction_norm(tf.cast(inputs, tf.float32), tf.cast(found, tf.float32)))
        if found.shape in ((len(inputs),), (len(inputs), 1)):
            return np.asarray(tf.cast(tf.reshape(found, [-1]), tf.float32))
    shapes = ", ".join(str(tuple(found.shape)) for found in outputs)
    raise UsageError(
        f"{path} makes {shapes} of images of shape {tuple(inputs.shape)}; it must make one score for each image, or a "
        "reconstruction of the same shape, or name one of its outputs 'score'."
    )


def _sentence(error: Exception) -> str:
    """The first line of an exception's message, or its name."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
