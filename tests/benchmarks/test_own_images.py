import csv
import sys

import numpy as np
from PIL import Image

from tests.benchmarks import own_images


def test_it_measures_a_folder_at_its_smallest(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for name, count in (("train/good", 25), ("test/good", 3), ("test/bad", 6)):
        folder = tmp_path / "set" / name
        folder.mkdir(parents=True)
        for number in range(count):
            Image.fromarray(rng.integers(0, 256, (20, 24), np.uint8)).save(folder / f"{number:02d}.png")
    results = tmp_path / "rows.csv"
    sizes = ("--size=32", "--crop=16", "--width=0.0625", "--steps=2")
    for parts in (["development"], ["development", "test"], ["test"]):
        monkeypatch.setattr(
            sys, "argv", ["own_images", f"--data={tmp_path / 'set'}", f"--csv={results}", "--part", *parts, *sizes]
        )
        own_images.main()
    with results.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["part"] for row in rows] == ["development", "test"]
    assert all(0 <= float(row["auroc"]) <= 100 for row in rows)


def test_the_parts_of_a_set_share_no_image(tmp_path):
    for name, count in (("train/good", 20), ("test/good", 4), ("test/bad", 9)):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        for number in range(count):
            Image.fromarray(np.full((16, 16), 10 * number, np.uint8)).save(folder / f"{number:02d}.png")
    development, test = (own_images.read_parts(tmp_path, chosen, 16) for chosen in (True, False))
    assert [len(development[name]) for name in ("train", "held_out", "good", "bad")] == [16, 2, 2, 3]
    assert [len(test[name]) for name in ("train", "held_out", "good", "bad")] == [16, 4, 4, 6]
