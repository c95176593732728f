"""What users run into with runs: each kind of fault by its name."""

import os

import pytest
import tensorflow as tf

from agad_tf.config.errors import RunError
from agad_tf.training.checkpoints import Checkpoints, Position


def test_settings_outside_no_message_advises_to_remove_checkpoints(build_model, tmp_path):
    checkpoints = Checkpoints(build_model(), tmp_path)
    checkpoints.position = Position(1)
    checkpoints.save()
    next(tmp_path.glob("epoch-1.data*")).write_bytes(b"short")
    with pytest.raises(RunError, match="All checkpoints") as raised:
        checkpoints.restore(tmp_path)
    assert not any(word in str(raised.value) for word in ("remove", "delete"))


@pytest.mark.parametrize("what", ["folder", "data", "index"])
def test_settings_outside_a_missing_permission_is_called_so(build_model, tmp_path, monkeypatch, what):
    checkpoints = Checkpoints(build_model(), tmp_path)
    checkpoints.position = Position(1)
    checkpoints.save()

    def denied(prefix):
        raise tf.errors.PermissionDeniedError(None, None, "Permission denied")

    # Whoever runs the tests may be allowed everything.
    if what == "folder":
        monkeypatch.setattr(os, "access", lambda *_: False)
    elif what == "index":
        monkeypatch.setattr(os, "access", lambda path, _: not str(path).endswith(".index"))
    else:
        monkeypatch.setattr(tf.train, "load_checkpoint", denied)
    with pytest.raises(PermissionError, match="permission to read"):
        checkpoints.restore(tmp_path)
