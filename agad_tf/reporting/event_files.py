"""TensorBoard's event files: one for each epoch, and the scalars read from them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf


@contextlib.contextmanager
def event_file(directory: Path, name: str, step: int) -> Iterator[None]:
    """Writes summaries to their own event file, which replaces an earlier one of the same name and step.

    So TensorBoard shows an epoch once, even if it is trained again after an interruption.

    Args:
        directory: of the event files; made if it is not there.
        name: what is written to this file, such as "epoch".
        step: of the summaries.
    """
    suffix = f".{name}-{step}"
    for earlier in directory.glob(f"*{suffix}"):
        earlier.unlink()
    writer = tf.summary.create_file_writer(str(directory), filename_suffix=suffix)
    # As an array: TensorFlow never frees Python numbers that it has converted to tensors.
    with writer.as_default(step=np.array(step)):
        yield
    writer.close()
    # TensorBoard reads files in the order of their names; TensorFlow's names contain the time in seconds and a count of
    # writers, in which 10 comes before 9.
    (written,) = directory.glob(f"*{suffix}")
    written.rename(directory / f"events.out.tfevents.{step:010d}{suffix}")


def read_curves(directory: Path) -> dict[str, dict[int, float]]:
    """Reads the scalars of every epoch from TensorBoard's event files.

    Args:
        directory: of the event files; it may be missing, and files may be truncated.

    Returns:
        By name of the scalar, without its group, and by epoch, from 1.
    """
    curves: dict[str, dict[int, float]] = {}
    files = sorted(map(str, directory.glob("*.epoch-*")))
    # A truncated file is read up to its end, and then the next file.
    records = tf.data.TFRecordDataset(files).ignore_errors().as_numpy_iterator() if files else ()
    for record in records:
        event = tf.compat.v1.Event.FromString(record)
        for value in event.summary.value:
            # Learning rates are settings. Earlier versions wrote names without a group.
            if value.metadata.plugin_data.plugin_name == "scalars" and "learning_rate" not in value.tag:
                name = value.tag.rpartition("/")[2]
                curves.setdefault(name, {})[event.step] = float(tf.make_ndarray(value.tensor))
    return curves
