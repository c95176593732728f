"""Reads, inspects and divides the images of an experiment."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from agad_tf.config.errors import UsageError
from agad_tf.config.options import Unsaid
from agad_tf.data.image_size import with_image_size
from agad_tf.data.inspection import leave_out_unreadable
from agad_tf.data.pixel_range import read_pixel_range
from agad_tf.data.readers import limit_pixels
from agad_tf.data.sources import Source, load_source
from agad_tf.data.splits import ABNORMAL, OneClassTask, one_class_task


def load_task(
    dataset: str,
    data_dir: str,
    *,
    image_size: int | str,
    keep_shape: bool = False,
    max_megapixels: float,
    left_out: Path,
    pixel_range: Path,
    normal_class: int | str,
    gamma: float,
    anomaly_classes: Sequence[int | str],
    validation_fraction: float,
    seed: int,
) -> tuple[Source, OneClassTask]:
    """Reads a data set and divides it.

    Args:
        dataset: its name, see `agad_tf.config.choices`.
        data_dir: folder or file that holds it; empty means the known places.
        image_size: that images are resized to, see `agad_tf.data.image_size.with_image_size`.
        keep_shape: whether they keep their shape, see there.
        max_megapixels: images of more pixels, in millions, are left out.
        left_out: file of the run that names the images that could not be read; it may not exist yet.
        pixel_range: file of the run that holds the range its images are read by; it may not exist yet.
        normal_class: the class that is normal, by number or name.
        gamma: γ, the share of labelled anomalies among the training images, in [0, 1).
        anomaly_classes: classes that labelled anomalies are drawn from; empty means all but the normal one.
        validation_fraction: share of the training images that is held out, in (0, 1).
        seed: for the choice of labelled anomalies and held-out images.

    Returns:
        The data set, and the task.

    Raises:
        UsageError: there is no such data set, or it does not fit the arguments.
        RunError: it cannot be read.
    """
    limit_pixels(max_megapixels)
    # A run of an earlier version, which has no such file, continues with images as that version read and divided them.
    earlier = left_out.exists() and not pixel_range.exists()
    source = load_source(dataset, data_dir, normal_class=0 if earlier else normal_class)
    source = with_image_size(source, image_size, keep_shape)
    if source.note:
        _say(source.note)
    if not gamma:
        # They will not be used.
        source = dataclasses.replace(source, train_masks={})
    source = leave_out_unreadable(source, left_out, read_pixel_range(pixel_range))
    normal = source.class_number(normal_class)
    if dataset == "npz" and isinstance(normal_class, Unsaid) and np.any(source.y_train != normal):
        _say(f"Class {source.class_name(normal)} of {data_dir} counts as normal; choose another with --normal_class.")
    labelled = {source.class_number(name): name for name in anomaly_classes}
    if normal in labelled:
        raise UsageError(
            f"--anomaly_classes={labelled[normal]} and --normal_class={normal_class} are the same class of {data_dir}, "
            f"{source.class_name(normal)}; leave it out of --anomaly_classes."
        )
    task = one_class_task(source, normal, gamma, tuple(labelled), validation_fraction, seed)
    if source.has_masks and task.has_test_anomalies:
        abnormal = task.test.of_label(ABNORMAL).ids.tolist()
        _say(f"{sum(row in source.test_masks for row in abnormal)} of {len(abnormal)} abnormal images have a mask.")
    return source, task


def _say(text: str) -> None:
    tqdm.write(f"agad_tf: {text}", file=sys.stderr)
