"""What a call in training mode has to do with a run that may already exist."""

import dataclasses
import enum

from agad_tf.config.choices import BASELINES
from agad_tf.config.errors import UsageError
from agad_tf.config.experiment import ExperimentConfig
from agad_tf.config.flags import read_config, require_same_settings
from agad_tf.evaluation.results import read_results
from agad_tf.files.workdir import Workdir


class Asked(enum.Enum):
    """Training, new or continued; measuring a finished run again; or nothing."""

    TRAINING = enum.auto()
    MEASUREMENT = enum.auto()
    NOTHING = enum.auto()


def what_is_asked(config: ExperimentConfig, workdir: Workdir) -> Asked:
    """What is left to do for a call in training mode.

    A finished run is measured and exported again if the threshold changes, or for a format or protocol that it lacks.
    If its learning rate is constant, a run can be trained for more epochs.

    Args:
        config: of the call.
        workdir: of the run.

    Raises:
        UsageError: the run has other settings, or more epochs are requested although its learning rate falls.
    """
    if not workdir.config.exists():
        return Asked.NOTHING if workdir.results.exists() else Asked.TRAINING
    stored = read_config(workdir.root)
    if config.epochs > stored.epochs and config.method not in BASELINES:
        if stored.learning_rate_schedule != "constant":
            raise UsageError(
                f"{config.folder} holds a run whose learning rate falls to 0 over --epochs={stored.epochs}; give "
                f"another --workdir to train for {config.epochs}."
            )
        require_same_settings(dataclasses.replace(stored, epochs=config.epochs), config)
        return Asked.TRAINING
    require_same_settings(stored, config)
    if not workdir.results.exists():
        return Asked.TRAINING
    if read_results(workdir.results).get("epochs") not in (stored.epochs, None):
        # After it was finished, more epochs were begun.
        return Asked.TRAINING
    lacks_format = config.export_format != "saved_model" and not workdir.portable(config.export_format).exists()
    lacks_protocol = not set(config.protocols) <= set(stored.protocols)
    return (
        Asked.MEASUREMENT if lacks_format or lacks_protocol or config.threshold != stored.threshold else Asked.NOTHING
    )
