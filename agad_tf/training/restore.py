"""The model of a finished run, as its last epoch left it."""

from agad_tf.config.errors import RunError
from agad_tf.config.experiment import ExperimentConfig
from agad_tf.evaluation.results import read_results
from agad_tf.files.workdir import Workdir
from agad_tf.models.agad import AGAD
from agad_tf.models.build import build_model
from agad_tf.training.checkpoints import Checkpoints


def restore(config: ExperimentConfig) -> AGAD:
    """The model of a finished run.

    Args:
        config: of the run.

    Returns:
        The model after its last epoch.

    Raises:
        RunError: the run is not finished, or damaged.
    """
    results = read_results(Workdir(config.folder).results, oldest=1)
    height, width = results.get("image_height", config.image_size), results.get("image_width", config.image_size)
    return restore_with_checkpoints(config, (height, width, results["channels"]))[0]


def restore_with_checkpoints(config: ExperimentConfig, image_shape: tuple[int, int, int]) -> tuple[AGAD, Checkpoints]:
    """The model of a run whose epochs are done, even if it has not been measured.

    Args:
        config: of the run.
        image_shape: height, width and channels of its images.

    Returns:
        The model after its last epoch, and its checkpoints, which hold the rest of the saved state.

    Raises:
        RunError: epochs are missing, or all checkpoints are damaged.
    """
    workdir = Workdir(config.folder)
    model = build_model(config, image_shape)
    checkpoints = Checkpoints(model, workdir.checkpoints)
    if checkpoints.restore(workdir.checkpoints).epoch < config.epochs:
        raise RunError(f"The run in {workdir.root} is not finished; continue it with --mode=train.")
    return model, checkpoints
