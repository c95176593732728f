"""Lists of images as spreadsheets and tools write them, given to --input."""

import pytest

from agad_tf.config.errors import RunError, UsageError
from agad_tf.prediction.inputs import find_images


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_list_is_read_as_spreadsheets_write_it(tmp_path, encoding, separator):
    lines = [("id", "Path ", "note"), ("1", "a.png", "schön"), ("2", " b.png", ""), ("", "", "")]
    text = "\r\n".join(separator.join(line) for line in lines)
    (tmp_path / "list.csv").write_bytes(text.encode(encoding))
    assert find_images(str(tmp_path / "list.csv")) == [str(tmp_path / name) for name in ("a.png", "b.png")]


def test_backslashes_in_a_list_may_stand_for_slashes(tmp_path):
    (tmp_path / "list.csv").write_text("path\nsub\\a.png\n")
    assert find_images(str(tmp_path / "list.csv")) == [str(tmp_path / "sub" / "a.png")]


@pytest.mark.parametrize(
    ("text", "kind", "complaint"),
    [
        ("file\na.png\n", UsageError, "has no column path, only file; rename"),
        ("", RunError, "cannot be read as a CSV"),
        ("path\na.png,1\n", RunError, "more values than columns"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused(tmp_path, text, kind, complaint):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(kind, match=complaint):
        find_images(str(tmp_path / "list.csv"))


@pytest.mark.parametrize("ending", [".tsv", ".txt", ".CSV"])
def test_a_list_may_have_other_endings(tmp_path, ending):
    (tmp_path / f"list{ending}").write_text("path\tnote\na.png\tb\n")
    assert find_images(str(tmp_path / f"list{ending}")) == [str(tmp_path / "a.png")]
