"""What a call asks of a run that may be there already."""

import dataclasses
import enum

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

    A finished run is measured and exported again for another threshold or a format that it lacks, and trained for more
    epochs where its learning rate is constant.

    Args:
        config: of the call.
        workdir: of the run.

    Raises:
        UsageError: the run has other settings, or its learning rate has fallen to 0 and more epochs are asked for.
    """
    if not workdir.config.exists():
        return Asked.NOTHING if workdir.results.exists() else Asked.TRAINING
    stored = read_config(workdir.root)
    finished = workdir.results.exists()
    done = read_results(workdir.results)["epochs"] if finished else None
    if done is not None and config.epochs > done:
        if stored.learning_rate_schedule != "constant":
            raise UsageError(
                f"{config.folder} holds a finished run of {done} epochs, whose learning rate has fallen to 0; give "
                f"another --workdir to train for {config.epochs}."
            )
        require_same_settings(dataclasses.replace(stored, epochs=config.epochs), config)
        return Asked.TRAINING
    require_same_settings(stored, config)
    if not finished:
        return Asked.TRAINING
    lacks_format = config.export_format != "saved_model" and not workdir.portable(config.export_format).exists()
    return Asked.MEASUREMENT if lacks_format or config.threshold != stored.threshold else Asked.NOTHING
