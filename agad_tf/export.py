"""The detector as a SavedModel: raw images in, scores and verdicts out, without this package."""

import shutil
from pathlib import Path

import tensorflow as tf

from agad_tf.data.pipeline import to_network_input
from agad_tf.evaluation.thresholds import Decision
from agad_tf.model import AGAD


class Detector(tf.Module):
    """What is served.

    Args:
        model: the trained model.
        decision: how scores are judged.
    """

    def __init__(self, model: AGAD, decision: Decision):
        super().__init__()
        self.networks = model.scoring_networks
        # The model itself would bring its optimizers into the file.
        self._reconstruct_and_score = model.reconstruct_and_score
        self.threshold, self.center, self.slope = (
            tf.Variable(getattr(decision, name), trainable=False, dtype=tf.float32, name=name)
            for name in ("threshold", "center", "slope")
        )
        _, self.image_size, _, self.channels = model.generator.input_shape

    @tf.function
    def serve(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Scores images as the user has them.

        Args:
            images: uint8, float32 or float64 (batch, height, width, channels) in [0, 255], of any size.

        Returns:
            "score", float (batch,): A(x), higher is more abnormal; "probability", float (batch,) in [0, 1], rising
            with the score; "is_anomaly", bool (batch,);
            "reconstruction", float (batch, image_size, image_size, channels) in [0, 255]; "error_map", float
            (batch, image_size, image_size): absolute error of each pixel, mean over channels, in [0, 255].
        """
        inputs = to_network_input(images, self.image_size)
        reconstruction, score = self._reconstruct_and_score(inputs)
        return {
            "score": score,
            "probability": tf.sigmoid(self.slope * (score - self.center)),
            "is_anomaly": score >= self.threshold,
            "reconstruction": (reconstruction + 1.0) * 127.5,
            "error_map": tf.reduce_mean(tf.abs(inputs - reconstruction), axis=-1) * 127.5,
        }


def export_saved_model(model: AGAD, decision: Decision, path: Path) -> None:
    """Writes the SavedModel, beside an earlier one and then in its place.

    `tf.saved_model.load(path).serve(images)` takes uint8, float32 and float64; the signatures "serve" and
    "serving_default" take float32, "serve_uint8" takes uint8.

    Args:
        model: the trained model.
        decision: how scores are judged.
        path: folder to write.
    """
    detector = Detector(model, decision)
    shape = (None, None, None, detector.channels)
    # Each type traced here is one that `serve` takes; float64 is what NumPy makes of most arithmetic.
    as_float, as_uint8, _ = (
        detector.serve.get_concrete_function(tf.TensorSpec(shape, dtype, "images"))
        for dtype in (tf.float32, tf.uint8, tf.float64)
    )
    beside = path.with_name(path.name + ".partial")
    shutil.rmtree(beside, ignore_errors=True)
    tf.saved_model.save(
        detector,
        str(beside),
        signatures={"serving_default": as_float, "serve": as_float, "serve_uint8": as_uint8},
    )
    shutil.rmtree(path, ignore_errors=True)
    beside.rename(path)
