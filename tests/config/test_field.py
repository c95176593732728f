"""What users run into with flags: each kind of fault by its name."""

import pytest
from absl import flags

from agad_tf.config.flags import PATHS, define_flags


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("typed", ["~/x", "$PLACE/x", "${PLACE}/x"])
def test_paths_as_typed_are_expanded(monkeypatch, name, typed):
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("PLACE", "/home/somebody")
    found = flags.FlagValues()
    define_flags(found)
    found(["agad-tf", f"--{name}={typed}"])
    assert found[name].value == "/home/somebody/x"
