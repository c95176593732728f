import pytest

from agad_tf.config.errors import RunError
from agad_tf.evaluation.family_scores import read_family_scores


def test_missing_family_scores_are_a_failure(tmp_path):
    (tmp_path / "damaged.npz").write_bytes(b"PK")
    for name in ("nothing.npz", "damaged.npz"):
        with pytest.raises(RunError, match="missing or damaged"):
            read_family_scores(tmp_path / name)
