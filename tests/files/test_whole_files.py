import shutil
from pathlib import Path

import pytest

from agad_tf.files.whole_files import replace_folder, settle_folder, write_whole


@pytest.fixture
def folders(tmp_path):
    for name in ("detector", "better"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "content").write_text(name)
    return tmp_path / "detector", tmp_path / "better"


def test_a_folder_is_replaced(folders):
    old, new = folders
    replace_folder(old, new)
    assert (old / "content").read_text() == "better"
    assert [path.name for path in old.parent.iterdir()] == ["detector"]


@pytest.mark.parametrize("steps", range(5))
def test_a_replacement_that_is_cut_short_leaves_one_of_the_two(folders, monkeypatch, steps):
    old, new = folders
    left = iter(range(steps))

    def cut_short(function):
        def run(*args, **kwargs):
            if next(left, None) is None:
                raise InterruptedError
            return function(*args, **kwargs)

        return run

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", cut_short(Path.rename))
        patched.setattr(shutil, "rmtree", cut_short(shutil.rmtree))
        if steps < 4:
            with pytest.raises(InterruptedError):
                replace_folder(old, new)
        else:
            replace_folder(old, new)
    settle_folder(old)
    assert (old / "content").read_text() in ("detector", "better")
    if new.exists():
        replace_folder(old, new)
    assert (old / "content").read_text() == "better"
    assert [path.name for path in old.parent.iterdir()] == ["detector"]


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "file"
    path.write_text("before")

    def fail(file):
        file.write("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_whole(path, fail)
    assert path.read_text() == "before"
