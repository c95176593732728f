"""A file of a run that may not be read is called so, and nobody is told to train again or to remove it."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from agad_tf.config.command_line import one_sentence_on_failure
from agad_tf.config.flags import read_config
from agad_tf.data.csv_files import read_csv
from agad_tf.data.inspection import leave_out_unreadable
from agad_tf.data.pixel_range import read_pixel_range
from agad_tf.data.readers import read_npz
from agad_tf.data.sources import load_source
from agad_tf.evaluation.results import read_results, read_scores


def look(path):
    for part in ("good", "bad"):
        (path.parent / part).mkdir()
        for number in range(8):
            Image.fromarray(np.full((16, 16), number, np.uint8)).save(path.parent / part / f"{number}.png")
    leave_out_unreadable(load_source("folder", str(path.parent)), path)


READERS = {
    "config.cfg": lambda path: read_config(path.parent),
    "results.json": read_results,
    "scores.csv": read_scores,
    "left_out.csv": look,
    "pixel_range.json": read_pixel_range,
    "list.csv": read_csv,
    "set.npz": read_npz,
}


@pytest.mark.parametrize("name", READERS)
def test_a_missing_permission_is_called_so(as_nobody, capsys, name):
    # Not below pytest's folders, which are closed to others.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.touch(0)
        with pytest.raises(SystemExit) as end, one_sentence_on_failure(""):
            READERS[name](path)
    assert end.value.code == 1
    said = f"agad_tf: No permission to read or write {path}; give this user the permission.\n"
    assert capsys.readouterr().err == said
