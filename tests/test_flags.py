from pathlib import Path

import pytest

from tests.test_flagfile import parse

FILES = sorted((Path(__file__).parents[1] / "flags").glob("*.cfg"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_flagfile_is_valid_and_explains_every_line(path):
    config = parse(f"--flagfile={path}")
    assert config.dataset == path.stem.replace("fmnist", "fashion_mnist")
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line.startswith("# ") for line in lines] == [True, False] * (len(lines) // 2)
