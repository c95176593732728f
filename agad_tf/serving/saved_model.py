"""The detector as a SavedModel, which scores raw images without this package."""

import math
import shutil
import sys
from functools import partial
from pathlib import Path

import tensorflow as tf

from agad_tf.config.seconds import CLOCK
from agad_tf.data.pixel_range import FULL_RANGE, PixelRange
from agad_tf.data.preprocessing import to_network_input, to_pixels
from agad_tf.evaluation.localization import scores_and_maps
from agad_tf.evaluation.thresholds import Decision, probability
from agad_tf.files.whole_files import replace_folder
from agad_tf.models.agad import AGAD
from agad_tf.serving.encoded_images import decode_files, to_8_bits
from agad_tf.serving.warm_up import write_warm_up_requests


class Detector(tf.Module):
    """The module that is saved as a SavedModel.

    Args:
        model: the trained model.
        decision: how scores are judged.
        pixel_range: the values that are black and white in images of more than 8 bits.
    """

    def __init__(self, model: AGAD, decision: Decision, pixel_range: PixelRange = FULL_RANGE):
        super().__init__()
        # As TensorFlow's variables: Keras' variables would be saved twice, and TensorFlow Serving would restore the
        # unused copies.
        self.weights = [variable.value for variable in model.scoring_variables]
        # The model itself would include its optimizers.
        inputs = tf.TensorSpec((None, *model.scoring_shape), tf.float32)
        # One graph for all signatures.
        self._look = tf.function(partial(scores_and_maps, model), input_signature=[inputs], autograph=False)
        self.threshold, self.center, self.slope = (
            tf.Variable(getattr(decision, name), trainable=False, dtype=tf.float32, name=name)
            for name in ("threshold", "center", "slope")
        )
        # For callers that decode files themselves.
        self.pixel_range = tf.Variable(pixel_range, trainable=False, dtype=tf.float64, name="pixel_range")
        self._bits = pixel_range.bits
        height, width, self.channels = model.scoring_shape
        self.image_size = height, width

    @tf.function(autograph=False)
    def serve(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Scores images.

        Args:
            images: uint8, float32 or float64 (batch, height, width, channels) in [0, 255], of any size; or uint16 in
                the range that the training images used. Floats of at most 1 count as nearly black, and a warning is
                written to stderr.

        Returns:
            "score", float (batch,): A(x), higher is more abnormal; "probability", float (batch,) in [0, 1], rising
            with the score; "is_anomaly", bool (batch,);
            "reconstruction", float (batch, height, width, channels) in [0, 255]; "error_map", float
            (batch, height, width), see `agad_tf.evaluation.localization.scores_and_maps`.
        """
        if images.dtype == tf.uint16:
            images = to_8_bits(images, self._bits)
        elif images.dtype.is_floating:
            _warn_of_small_values(images)
        return self._judge(to_network_input(images, self.image_size))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "encoded")], autograph=False)
    def serve_bytes(self, encoded: tf.Tensor) -> dict[str, tf.Tensor]:
        """Scores encoded images, which may differ in size.

        Args:
            encoded: string (batch,), the content of JPEG, PNG, BMP, WebP or GIF files, whose first frame is scored.
                They are turned upright by their EXIF data.

        Returns:
            As `serve`. A file that cannot be read gets NaN for all numbers and False for "is_anomaly"; other files are
            not affected.
        """
        return self._judge_files(encoded)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")], autograph=False)
    def classify(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """Scores examples as TensorFlow Serving's Classify sends them.

        Args:
            inputs: string (batch,), serialised `tf.train.Example`s with an encoded image as feature "image".

        Returns:
            "classes", string (batch, 2): "normal" and "abnormal"; "scores", float (batch, 2): their probabilities, NaN
            for an image that cannot be read.
        """
        features = tf.io.parse_example(inputs, {"image": tf.io.FixedLenFeature([], tf.string)})
        abnormal = self._judge_files(features["image"])["probability"]
        return {
            "classes": tf.tile([["normal", "abnormal"]], [tf.size(abnormal), 1]),
            "scores": tf.stack([1 - abnormal, abnormal], axis=1),
        }

    def _judge(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        reconstruction, score, error_map = self._look(inputs)
        return {
            "score": score,
            "probability": probability(score, self.center, self.slope),
            "is_anomaly": score >= self.threshold,
            "reconstruction": to_pixels(reconstruction),
            "error_map": error_map,
        }

    def _judge_files(self, encoded: tf.Tensor) -> dict[str, tf.Tensor]:
        inputs, is_read = decode_files(encoded, self.image_size, self.channels, self._bits)
        found = self._judge(inputs)
        unknown = {name: values for name, values in found.items() if values.dtype.is_floating}
        for name, values in unknown.items():
            of_each = tf.reshape(is_read, [-1] + [1] * (values.shape.rank - 1))
            found[name] = tf.where(of_each, values, math.nan)
        return {**found, "is_anomaly": found["is_anomaly"] & is_read}


def _warn_of_small_values(images: tf.Tensor) -> None:
    highest = tf.reduce_max(images)
    tf.cond(
        (highest > 0) & (highest <= 1),
        lambda: tf.print(
            "agad_tf: the largest pixel value of these images is",
            highest,
            "- the detector takes 0 to 255; multiply images of 0 to 1 by 255.",
            output_stream=sys.stderr,
        ),
        tf.no_op,
    )


@CLOCK.within("export")
def export_saved_model(model: AGAD, decision: Decision, path: Path, pixel_range: PixelRange = FULL_RANGE) -> None:
    """Writes the SavedModel with warm-up requests; an earlier one is replaced when the new one is complete.

    `tf.saved_model.load(path).serve(images)` takes uint8, uint16, float32 and float64; of the signatures "serve" and
    "serving_default" take float32, "serve_uint8" takes uint8, "serve_bytes" encoded images, and "classify" examples.

    Args:
        model: the trained model.
        decision: how scores are judged.
        path: folder to write.
        pixel_range: the values that are black and white in images of more than 8 bits.
    """
    detector = Detector(model, decision, pixel_range)
    shape = (None, None, None, detector.channels)
    # `serve` takes each type traced here; float64 is the result of most NumPy arithmetic.
    as_float, as_uint8, *_ = (
        detector.serve.get_concrete_function(tf.TensorSpec(shape, dtype, "images"))
        for dtype in (tf.float32, tf.uint8, tf.float64, tf.uint16)
    )
    signatures = {
        "serving_default": as_float,
        "serve": as_float,
        "serve_uint8": as_uint8,
        "serve_bytes": detector.serve_bytes,
        "classify": detector.classify,
    }
    beside = path.with_name(f"partial-{path.name}")
    shutil.rmtree(beside, ignore_errors=True)
    tf.saved_model.save(detector, str(beside), signatures=signatures)
    # It would be saved as a signature for Predict, like all others.
    updater = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(str(beside))
    updater.replace_method_name("classify", tf.saved_model.CLASSIFY_METHOD_NAME, tags="serve")
    updater.save()
    write_warm_up_requests(detector.image_size, detector.channels, beside)
    replace_folder(path, beside)
