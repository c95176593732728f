import pytest

from agad_tf.config.errors import UsageError
from agad_tf.prediction.inputs import find_images


def test_images_are_found_by_file_folder_pattern_and_csv(tmp_path):
    shots = tmp_path / "shots"
    for number in range(12):
        path = shots / f"line {number % 2}" / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (shots / "line 0" / "broken.jpg").write_bytes(b"rubbish")
    first = str(shots / "line 0" / "00.png")
    assert find_images(first) == [first]
    assert len(find_images(str(shots))) == 13
    assert len(find_images(f"{shots}/**/0*.png")) == 10
    (tmp_path / "list.csv").write_text("path,note\nshots/line 0/00.png,a\nshots/line 0/00.png,again\nnone.png,b\n")
    assert find_images(str(tmp_path / "list.csv")) == [first, str(tmp_path / "none.png")]


@pytest.mark.parametrize("pattern", ["/nowhere", "/nowhere/*.png", "{tmp_path}"])
def test_no_images_is_said_in_one_sentence(tmp_path, pattern):
    with pytest.raises(UsageError, match="names no images"):
        find_images(pattern.format(tmp_path=tmp_path))


def test_a_csv_without_paths_is_refused(tmp_path):
    (tmp_path / "list.csv").write_text("file\na.png\n")
    with pytest.raises(UsageError, match="no column path"):
        find_images(str(tmp_path / "list.csv"))
