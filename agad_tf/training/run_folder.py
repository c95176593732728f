"""The folder of a run: its lock, and the files that are written before training."""

import contextlib
import json
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from agad_tf.config.errors import RunError, UsageError
from agad_tf.config.experiment import ExperimentConfig
from agad_tf.config.flags import to_flagfile
from agad_tf.config.seconds import CLOCK
from agad_tf.data.images_in_files import Pictures
from agad_tf.data.inspection import write_left_out
from agad_tf.data.pixel_range import FULL_RANGE, write_pixel_range
from agad_tf.data.sources import Source
from agad_tf.files.whole_files import write_whole
from agad_tf.files.workdir import Workdir
from agad_tf.training.checkpoints import saved_positions


@contextlib.contextmanager
def used_by_this_process_alone(workdir: Workdir) -> Iterator[Workdir]:
    """Makes the folder of a run and holds its lock.

    Args:
        workdir: of the run.

    Yields:
        `workdir`.

    Raises:
        RunError: another process holds the lock.
    """
    workdir.checkpoints.mkdir(parents=True, exist_ok=True)
    try:
        # The operating system releases the lock of a killed process.
        with FileLock(workdir.lock, timeout=0):
            yield workdir
    except Timeout as error:
        raise RunError(f"Another process is using {workdir.root}; wait for it or give another --workdir.") from error


def _contents(source: Source) -> str:
    """The number of images of each part, and a checksum of their classes, names and sizes."""
    parts = {"train": (source.x_train, source.y_train), "val": (source.x_val, source.y_val)}
    parts["test"] = (source.x_test, source.y_test)
    counts, checksum = {}, 0
    for part, (images, classes) in parts.items():
        if images is None or classes is None:
            continue
        counts[part] = len(classes)
        checksum = zlib.crc32(np.asarray(classes, np.int64).tobytes(), checksum)
        if isinstance(images, Pictures):
            files = [Path(path) for path in images.paths.tolist()]
            names = "\n".join(f"{file.name} {file.stat().st_size}" for file in files)
            checksum = zlib.crc32(names.encode(errors="surrogateescape"), checksum)
        else:
            checksum = zlib.crc32(np.ascontiguousarray(images).data, checksum)
    return json.dumps({**counts, "checksum": f"{checksum:08x}"}) + "\n"


def holds_other_images(workdir: Workdir, source: Source) -> bool:
    """Whether a data set differs from the one that the run was begun with; False if the run has no record of it.

    Args:
        workdir: of the run.
        source: the data set.
    """
    return workdir.data_set.exists() and workdir.data_set.read_text(encoding="utf-8") != _contents(source)


@CLOCK.within("images")
def write_set_up(workdir: Workdir, config: ExperimentConfig, source: Source) -> None:
    """Writes what a run needs to continue: its flags, the list of unreadable images, and the range of pixel values.

    Call it only when flags and data have been checked, because these files would refuse corrected flags.

    Args:
        workdir: of the run.
        config: the experiment.
        source: the data set.

    Raises:
        UsageError: the run was begun with other images.
    """
    if saved_positions(workdir.checkpoints) and holds_other_images(workdir, source):
        raise UsageError(
            f"{source.origin} does not hold the images that {config.folder} was begun with; give their --data_dir, or "
            "another --workdir."
        )
    write_whole(workdir.data_set, lambda file: file.write(_contents(source)))
    write_whole(workdir.config, lambda file: file.write(to_flagfile(config)))
    # Not for runs of earlier versions, which are recognised by the missing file.
    if not workdir.left_out.exists() and (isinstance(source.x_train, Pictures) or source.pixel_range != FULL_RANGE):
        write_whole(workdir.pixel_range, lambda file: write_pixel_range(file, source.pixel_range))
    if isinstance(source.x_train, Pictures):
        # The run then continues with the same images, even if unreadable ones are repaired.
        write_whole(workdir.left_out, lambda file: write_left_out(file, source.left_out))
