"""Exports the detector of a run in another format."""

import dataclasses

from agad_tf.config.experiment import ExperimentConfig
from agad_tf.config.seconds import CLOCK
from agad_tf.evaluation.thresholds import Decision
from agad_tf.files.workdir import Workdir
from agad_tf.models.agad import AGAD
from agad_tf.models.build import build_model
from agad_tf.serving.onnx_litert import export_portable


@CLOCK.within("export")
def write_portable(config: ExperimentConfig, model: AGAD, decision: Decision) -> None:
    """Writes the detector as ONNX or LiteRT, in float32 even if it was trained in another format.

    Args:
        config: of the run; its export format is "onnx" or "litert".
        model: as the last epoch left it.
        decision: how scores are judged.

    Raises:
        UsageError: a package is missing.
        RunError: the file scores images differently from the Keras model.
    """
    path = Workdir(config.folder).portable(config.export_format)
    height, width, channels = model.scoring_shape
    in_float32 = build_model(dataclasses.replace(config, mixed_precision="none"), (height, width, channels))
    in_float32.set_weights(model.get_weights())
    export_portable(in_float32, decision, path, config.export_format)
    print(f"The detector is in {path}.")
