import re
import sys

import pytest

from tests.benchmarks import large_image


@pytest.mark.parametrize("tile", [352, 0])
def test_it_measures_a_small_image(tile, monkeypatch, capsys):
    monkeypatch.setattr(large_image, "NETWORK_WIDTH", 1 / 32)
    monkeypatch.setattr(sys, "argv", ["large_image", "--height=64", "--width=368", f"--tile={tile}", "--all"])
    large_image.main()
    printed = capsys.readouterr().out
    assert int(re.search(r"peak (\d+) MiB.* ([\d.]+) s", printed)[1]) > 0
    assert ("in tiles" in printed) == bool(tile)
