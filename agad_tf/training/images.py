"""Loads the images that a configuration names."""

from pathlib import Path

from agad_tf.config.choices import PEAK
from agad_tf.config.experiment import ExperimentConfig
from agad_tf.config.seconds import CLOCK
from agad_tf.data.images_in_files import Pictures
from agad_tf.data.sources import Source
from agad_tf.data.splits import ABNORMAL, OneClassTask, with_reference
from agad_tf.data.task import load_task
from agad_tf.files.workdir import Workdir


@CLOCK.within("images")
def load_images(config: ExperimentConfig) -> tuple[Source, OneClassTask]:
    """Reads the data set of an experiment and divides it.

    Args:
        config: the experiment.

    Returns:
        The data set, and the task.

    Raises:
        UsageError: there is no such data set, or it does not fit the configuration.
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


def masks_to_learn_from(
    source: Source, task: OneClassTask, segmentation: bool
) -> tuple[dict[int, tuple[Path, ...]] | None, str]:
    """The masks of labelled anomalies that a run learns from.

    Args:
        source: the data set.
        task: its images.
        segmentation: whether the run has a network that learns from masks.

    Returns:
        Files of the masks by the ids of training images, or None; and a sentence about how many labelled anomalies have
        a mask, empty if the run does not learn from masks.
    """
    labelled = task.train.of_label(ABNORMAL).ids.tolist()
    if not segmentation or not labelled or not isinstance(task.train.images, Pictures):
        return None, ""
    masks = {row: source.train_masks[row] for row in labelled if row in source.train_masks}
    have = "has" if len(labelled) == 1 else "have"
    anomalies = "anomaly" if len(labelled) == 1 else "anomalies"
    return masks or None, f"{len(masks)} of {len(labelled)} labelled {anomalies} for training {have} a mask."


def normals_alone(task: OneClassTask) -> str:
    """How a set of only normal images is divided, in a sentence.

    Args:
        task: without anomalies in its test set.
    """
    train, validation, test = (len(split.labels) for split in (task.train, task.validation, task.test))
    usual = "" if task.reference is None else f"{len(task.reference.labels)} for the statistics of the score, "
    return (
        f"All images are normal: {train} for training, {usual}{validation} to choose the threshold, and {test} held "
        "out for the report."
    )
