"""The images of an experiment: read, looked at and divided."""

from agad_tf.config.experiment import ExperimentConfig
from agad_tf.data.inspection import leave_out_unreadable
from agad_tf.data.readers import limit_pixels
from agad_tf.data.sources import Source, load_source
from agad_tf.data.splits import OneClassTask, one_class_task
from agad_tf.files.workdir import Workdir


def load_task(config: ExperimentConfig) -> tuple[Source, OneClassTask]:
    """Reads the data set of an experiment and divides it."""
    limit_pixels(config.max_megapixels)
    source = load_source(config.dataset, config.data_dir, config.image_size)
    source = leave_out_unreadable(source, Workdir(config.folder).left_out)
    task = one_class_task(
        source,
        source.class_number(config.normal_class),
        config.gamma,
        tuple(source.class_number(name) for name in config.anomaly_classes),
        config.validation_fraction,
        config.seed,
    )
    return source, task
