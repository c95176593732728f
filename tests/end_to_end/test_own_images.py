"""What a user reads whose images cannot be read."""

import re

import pytest

from tests.end_to_end.small_images import SMALLER, write_images
from tests.end_to_end.test_readme import agad


def test_a_class_of_which_nothing_can_be_read_is_named_in_one_sentence(tmp_path):
    write_images(tmp_path / "photos" / "normal", 30)
    write_images(tmp_path / "photos" / "abnormal", 4)
    for image in (tmp_path / "photos" / "normal").glob("*.jpg"):
        image.write_bytes(image.read_bytes()[:200])
    options = [f"--data_dir={tmp_path / 'photos'}", f"--workdir={tmp_path / 'run'}", *SMALLER]
    done = agad("--flagfile=flags/folder.cfg", *options)
    assert done.returncode == 1
    assert re.fullmatch(r"agad_tf: None of the 24 images of class normal for train can be read: .*\n", done.stderr)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("cache", ["4", "0"])
def test_a_image_that_breaks_after_it_was_looked_at_is_named_in_one_sentence(tmp_path, cache):
    """Whether images are read at once or batch by batch."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "left_out.csv").write_text("path,complaint\n")
    write_images(tmp_path / "photos" / "normal", 30)
    write_images(tmp_path / "photos" / "abnormal", 4)
    for image in (tmp_path / "photos" / "normal").glob("*.jpg"):
        image.write_bytes(image.read_bytes()[:200])
    options = [f"--data_dir={tmp_path / 'photos'}", f"--cache_gib={cache}", f"--workdir={tmp_path / 'run'}", *SMALLER]
    done = agad("--flagfile=flags/folder.cfg", *options)
    assert done.returncode == 1
    last = re.split(r"[\r\n]+", done.stderr.strip())[-1]
    assert re.search(r"^agad_tf: \S+normal/\d+\.jpg cannot be read as an image", last), done.stderr
    assert "Traceback" not in done.stderr
