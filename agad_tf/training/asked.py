"""What a call asks of a run that may be there already."""

import dataclasses
import enum

from agad_tf.config.choices import BASELINES
from agad_tf.config.errors import UsageError
from agad_tf.config.experiment import ExperimentConfig
from agad_tf.config.flags import read_config, require_same_settings
from agad_tf.evaluation.results import read_results
from agad_tf.files.workdir import Workdir


class Asked(enum.Enum):
    """Training, from the beginning or from where it stopped; measurement of a finished run; or nothing new."""

    TRAINING = enum.auto()
    MEASUREMENT = enum.auto()
    NOTHING = enum.auto()


def what_is_asked(config: ExperimentConfig, workdir: Workdir) -> Asked:
    """What is left to do for a call in training mode.

    A finished run is measured and exported again for another threshold, or a format or protocol that it lacks. Any run
    is trained for more epochs where its learning rate is constant.

    Args:
        config: of the call.
        workdir: of the run.

    Raises:
        UsageError: the run has other settings, or more epochs are asked for and its learning rate falls.
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
        # More epochs were begun after it had been finished.
        return Asked.TRAINING
    lacks_format = config.export_format != "saved_model" and not workdir.portable(config.export_format).exists()
    lacks_protocol = not set(config.protocols) <= set(stored.protocols)
    return (
        Asked.MEASUREMENT if lacks_format or lacks_protocol or config.threshold != stored.threshold else Asked.NOTHING
    )
