import re
import sys

import pytest

from tests.benchmarks import large_image


@pytest.mark.parametrize("tile", [352, 0])
def test_it_measures_a_small_image(tile, monkeypatch, capsys):
    monkeypatch.setattr(large_image, "NETWORK_WIDTH", 1 / 32)
    monkeypatch.setattr(sys, "argv", ["large_image", "--height=32", "--width=368", f"--tile={tile}"])
    large_image.main()
    found = re.search(r"(\d+) tiles of .* peak (\d+) MiB.* ([\d.]+) s", capsys.readouterr().out)
    assert (int(found[1]) > 1) == bool(tile)
    assert int(found[2]) > 0
