"""What users run into with the estimator: each kind of fault by its name."""

import pytest

from agad_tf.estimator import detector_files


class Model:
    """Saves a half of itself, or all."""

    def __init__(self, fails):
        self.fails = fails

    def save(self, path):
        path.write_bytes(b"half" if self.fails else b"whole")
        if self.fails:
            raise OSError("disk full")


def test_estimator_files_of_an_earlier_save_stay_whole_when_another_fails(tmp_path):
    detector_files.write_detector(tmp_path, Model(fails=False), {"a": 1})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(OSError, match="disk full"):
        detector_files.write_detector(tmp_path, Model(fails=True), {"a": 2})
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


@pytest.mark.parametrize("name", ["detector.json", "model.keras"])
def test_estimator_files_that_are_damaged_or_missing_are_called_so(tmp_path, name):
    (tmp_path / "detector.json").write_text("{}")
    (tmp_path / "model.keras").write_bytes(b"half")
    (tmp_path / name).write_bytes(b'{"a')
    with pytest.raises(ValueError, match=rf"{name} is damaged.*; save the detector again"):
        detector_files.read_detector(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        detector_files.read_detector(tmp_path)
