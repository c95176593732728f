"""The detector as ONNX or LiteRT, for use without TensorFlow; each file is checked against the Keras model."""

from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from agad_tf.config.errors import RunError, UsageError
from agad_tf.data.preprocessing import to_network_input, to_pixels
from agad_tf.evaluation.thresholds import Decision
from agad_tf.models.agad import AGAD

# The packages that each format needs, which its extra installs.
PACKAGES = {"onnx": ("tf2onnx", "onnxruntime"), "litert": ("ai_edge_litert",)}
# The first version of Keras whose LiteRT exporter keeps the names of inputs and outputs.
KERAS_FOR_LITERT = (3, 15)
# Largest relative difference of a score from that of the Keras model.
TOLERANCE = 1e-3
CHECKED_IMAGES = 5


class PortableDetector(keras.Model):
    """Takes images of the size that is scored, and returns scores and probabilities.

    Args:
        model: the trained model, in float32.
        decision: how scores are judged.
    """

    def __init__(self, model: AGAD, decision: Decision):
        super().__init__()
        self.model = model
        self.decision = decision

    def call(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Scores float32 (batch, height, width, channels) in [0, 255].

        Returns:
            "score", "probability" and "is_anomaly", each float32 (batch,), the last 0 or 1; "reconstruction" as
            `images`.
        """
        inputs = to_network_input(images, (images.shape[1], images.shape[2]))
        reconstruction, score = self.model.reconstruct_and_score(inputs)
        return {
            "score": score,
            "probability": self.decision.probability(score),
            "is_anomaly": tf.cast(score >= self.decision.threshold, tf.float32),
            "reconstruction": to_pixels(reconstruction),
        }


def require_packages(form: str) -> None:
    """Raises UsageError if a package that a format needs is not installed."""
    missing = [package for package in PACKAGES.get(form, ()) if find_spec(package) is None]
    if missing:
        raise UsageError(f'--export_format={form} needs {" and ".join(missing)}; run: pip install "agad_tf[{form}]".')
    if form == "litert" and tuple(map(int, keras.__version__.split(".")[:2])) < KERAS_FOR_LITERT:
        raise UsageError(
            f"--export_format=litert needs Keras 3.15 or later, but Keras {keras.__version__} is installed; run: "
            'pip install "agad_tf[litert]".'
        )


def export_portable(model: AGAD, decision: Decision, path: Path, form: str) -> None:
    """Writes the detector with Keras' exporter and checks it; an earlier file stays until the check has passed.

    Args:
        model: the trained model, in float32.
        decision: how scores are judged.
        path: file to write, `.onnx` or `.tflite`.
        form: "onnx" or "litert".

    Raises:
        UsageError: a package is missing.
        RunError: the file cannot be run, or scores images differently from the Keras model.
    """
    require_packages(form)
    shape = (None, *model.scoring_shape)
    detector = PortableDetector(model, decision)
    images = np.random.default_rng(0).integers(0, 256, (CHECKED_IMAGES, *model.scoring_shape)).astype(np.float32)
    # Smooth images, like those that detectors see in use.
    images[1:] = np.linspace(0, 255, model.scoring_size[0], dtype=np.float32)[:, np.newaxis, np.newaxis]
    expected = detector(images)["score"].numpy()
    beside = path.with_name(f"partial-{path.name}")
    signature = [keras.InputSpec(shape=shape, dtype="float32", name="images")]
    detector.export(str(beside), format=form, input_signature=signature, verbose=False)
    try:
        found = (_scores_by_onnx if form == "onnx" else _scores_by_litert)(beside, images)
    except Exception as error:  # The runtimes' own kinds of errors have no class in common.
        # LiteRT, for example, cannot run the loop over the tiles of a large image.
        beside.unlink()
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise RunError(
            f"The {form} runtime cannot run the exported model ({reason}); export a SavedModel instead."
        ) from error
    difference = float(np.max(np.abs(found - expected) / np.abs(expected)))
    # Written so that NaN fails.
    if not difference <= TOLERANCE:
        beside.unlink()
        raise RunError(
            f"Scores of the {form} model differ from those of the Keras model by up to {difference:.1g} of a score; "
            "export a SavedModel instead."
        )
    beside.replace(path)


def _scores_by_onnx(path: Path, images: np.ndarray) -> np.ndarray:
    import onnxruntime  # noqa: PLC0415

    return onnxruntime.InferenceSession(str(path)).run(["score"], {"images": images})[0]


def _scores_by_litert(path: Path, images: np.ndarray) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415

    return Interpreter(str(path)).get_signature_runner()(images=images)["score"]
