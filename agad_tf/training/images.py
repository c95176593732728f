"""The images that a configuration asks for."""

from agad_tf.config.choices import PEAK
from agad_tf.config.experiment import ExperimentConfig
from agad_tf.data.sources import Source
from agad_tf.data.splits import OneClassTask, with_reference
from agad_tf.data.task import load_task
from agad_tf.files.workdir import Workdir


def load_images(config: ExperimentConfig) -> tuple[Source, OneClassTask]:
    """Reads the data set of an experiment and divides it.

    Args:
        config: the experiment.

    Returns:
        The data set, and the task.

    Raises:
        UsageError: there is no such data set, or it does not fit what is asked for.
        RunError: it cannot be read.
    """
    source, task = load_task(
        config.dataset,
        config.data_dir,
        image_size=config.image_size,
        keep_shape=bool(config.crop_size),
        max_megapixels=config.max_megapixels,
        left_out=Workdir(config.folder).left_out,
        pixel_range=Workdir(config.folder).pixel_range,
        normal_class=config.normal_class,
        gamma=config.gamma,
        anomaly_classes=config.anomaly_classes,
        validation_fraction=config.validation_fraction,
        seed=config.seed,
    )
    return source, with_reference(task) if config.score == PEAK else task


def normals_alone(task: OneClassTask) -> str:
    """How a set of normal images alone is divided, in a sentence.

    Args:
        task: without anomalies in its test set.
    """
    train, validation, test = (len(split.labels) for split in (task.train, task.validation, task.test))
    return (
        f"The images are all normal: {train} are to train on, {validation} to choose the threshold by, and {test} held "
        "out for the report."
    )
