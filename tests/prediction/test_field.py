"""What users run into when they score images again: each kind of fault by its name."""

import csv
import dataclasses
import os
import shutil
import time

import numpy as np
import pytest
from PIL import Image

from agad_tf.config.errors import UsageError
from agad_tf.prediction import overlays, scoring
from agad_tf.prediction.predict import predict
from agad_tf.training.run import train
from tests.runs import digits_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = digits_run(tmp_path_factory.mktemp("again") / "run", epochs=1)
    train(config)
    return config


def write(path, low=0, high=256, size=(12, 10), seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(low, high, size, np.uint8)).save(path)


def rows(folder, name="scores.csv"):
    with (folder / name).open(newline="") as file:
        return list(csv.DictReader(file))


def test_predict_again_from_another_folder_scores_the_images_of_that_folder(run, tmp_path, monkeypatch):
    for number, place in enumerate(("a", "b")):
        write(tmp_path / place / "latest.png", seed=number)
        monkeypatch.chdir(tmp_path / place)
        predict(run, "latest.png", str(tmp_path / "out"))
    found = rows(tmp_path / "out")
    assert [row["path"] for row in found] == [str(tmp_path / place / "latest.png") for place in "ab"]
    assert found[0]["score"] != found[1]["score"]


def test_predict_again_after_a_file_was_replaced_gives_its_new_score_and_map(run, tmp_path, capsys):
    write(tmp_path / "in" / "latest.png", seed=0)
    write(tmp_path / "in" / "other.png", seed=1)
    predict(run, str(tmp_path / "in"), str(tmp_path / "out"), save_maps=True)
    before = {row["path"]: row["score"] for row in rows(tmp_path / "out")}
    old_map = (tmp_path / "out" / "maps" / "latest.png.png").read_bytes()
    write(tmp_path / "in" / "latest.png", seed=2)
    capsys.readouterr()
    predict(run, str(tmp_path / "in"), str(tmp_path / "out"), save_maps=True)
    after = {row["path"]: row["score"] for row in rows(tmp_path / "out")}
    assert len(rows(tmp_path / "out")) == 2
    changed = [path for path in before if before[path] != after[path]]
    assert changed == [str(tmp_path / "in" / "latest.png")]
    assert (tmp_path / "out" / "maps" / "latest.png.png").read_bytes() != old_map
    assert "1 of 2" in capsys.readouterr().out


def test_predict_again_reads_a_file_that_was_mended_or_whose_permission_was_given(run, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "shot.png").write_bytes(b"rubbish")
    predict(run, str(tmp_path / "in"), str(tmp_path / "out"))
    assert len(rows(tmp_path / "out", "unreadable.csv")) == 1
    write(tmp_path / "in" / "shot.png")
    predict(run, str(tmp_path / "in"), str(tmp_path / "out"))
    assert rows(tmp_path / "out", "unreadable.csv") == []
    assert len(rows(tmp_path / "out")) == 1


def test_predict_again_with_more_megapixels_reads_what_was_too_large(run, tmp_path):
    write(tmp_path / "in" / "large.png", size=(100, 100))
    predict(dataclasses.replace(run, max_megapixels=0.001), str(tmp_path / "in"), str(tmp_path / "out"))
    assert len(rows(tmp_path / "out", "unreadable.csv")) == 1
    predict(run, str(tmp_path / "in"), str(tmp_path / "out"))
    assert (len(rows(tmp_path / "out")), rows(tmp_path / "out", "unreadable.csv")) == (1, [])


def test_predict_again_with_save_maps_makes_the_maps_that_are_missing(run, tmp_path, monkeypatch, capsys):
    for number in range(3):
        write(tmp_path / "in" / f"{number}.png", seed=number)
    out = tmp_path / "out"
    predict(run, str(tmp_path / "in"), str(out))
    scores = (out / "scores.csv").read_bytes()
    predict(run, str(tmp_path / "in"), str(out), save_maps=True)
    assert sorted(path.name for path in (out / "maps").iterdir()) == [f"{number}.png.png" for number in range(3)]
    assert "3 of them have no map yet" in capsys.readouterr().out
    assert (out / "scores.csv").read_bytes() == scores
    monkeypatch.setattr(scoring, "decode_files", None)
    predict(run, str(tmp_path / "in"), str(out), save_maps=True)


def test_predict_again_keeps_the_maps_of_two_folders_apart(run, tmp_path):
    for number, place in enumerate(("a", "b")):
        write(tmp_path / place / "x.png", seed=number)
        predict(run, str(tmp_path / place), str(tmp_path / "out"), save_maps=True)
    maps = list((tmp_path / "out" / "maps").iterdir())
    assert len(maps) == 2
    assert len({path.read_bytes() for path in maps}) == 2


@pytest.mark.parametrize("output", ["in/scores", "in"])
def test_predict_again_never_takes_its_own_output_for_input(run, tmp_path, output):
    write(tmp_path / "in" / "x.png")
    for _ in range(2):
        predict(run, str(tmp_path / "in"), str(tmp_path / output), save_maps=True)
        assert [row["path"] for row in rows(tmp_path / output)] == [str(tmp_path / "in" / "x.png")]
    predict(run, str(tmp_path / "in" / "**" / "*.png"), str(tmp_path / "elsewhere"))
    assert len(rows(tmp_path / "elsewhere")) == 1
    with pytest.raises(UsageError, match="maps that this command has written"):
        predict(run, str(tmp_path / output / "maps"), str(tmp_path / "third"))


def test_predict_again_by_a_run_that_was_moved_goes_on(run, tmp_path, capsys):
    write(tmp_path / "in" / "x.png")
    predict(run, str(tmp_path / "in"), str(tmp_path / "out"))
    shutil.copytree(run.folder, tmp_path / "moved")
    capsys.readouterr()
    predict(dataclasses.replace(run, workdir=str(tmp_path / "moved")), str(tmp_path / "in"), str(tmp_path / "out"))
    assert "1 of 1 images have been scored before" in capsys.readouterr().out


def test_predict_again_in_a_folder_of_an_earlier_version_scores_anew(run, tmp_path):
    write(tmp_path / "in" / "x.png")
    out = tmp_path / "out"
    predict(run, str(tmp_path / "in"), str(out))
    score = rows(out)[0]["score"]
    detector = (out / "detector.json").read_text()
    lines = [line for line in detector.splitlines() if "fingerprint" not in line]
    (out / "detector.json").write_text("\n".join([lines[0], '  "workdir": "/elsewhere",', *lines[1:]]))
    (out / "scores.csv").write_text(f"path,score,probability,is_anomaly\n{tmp_path}/in/x.png,9,0.5,1\nx.png,9,0.5,1\n")
    (out / "unreadable.csv").write_text("path,complaint\n")
    predict(run, str(tmp_path / "in"), str(out))
    assert [row["score"] for row in rows(out)] == [score]


def test_predict_with_relative_and_absolute_paths_in_a_csv_writes_maps(run, tmp_path, monkeypatch):
    write(tmp_path / "near" / "x.png")
    write(tmp_path / "far" / "y.png")
    (tmp_path / "near" / "list.csv").write_text(f"path\nx.png\n{tmp_path}/far/y.png\n")
    monkeypatch.chdir(tmp_path / "near")
    predict(run, "list.csv", "out", save_maps=True)
    maps = tmp_path / "near" / "out" / "maps"
    found = sorted(path.relative_to(maps).as_posix() for path in maps.rglob("*.png"))
    assert found == ["far/y.png.png", "near/x.png.png"]


def test_maps_are_written_beside_and_renamed(run, tmp_path, monkeypatch):
    write(tmp_path / "in" / "x.png")

    def half(self, path, *rest, **options):
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(b"half")
        if "colour_scale" in str(path):
            return
        raise OSError("disk full")

    monkeypatch.setattr(overlays.Image.Image, "save", half)
    with pytest.raises(OSError, match="disk full"):
        predict(run, str(tmp_path / "in"), str(tmp_path / "out"), save_maps=True)
    assert not (tmp_path / "out" / "maps" / "x.png.png").exists()


def test_a_touched_file_is_scored_again(run, tmp_path):
    write(tmp_path / "x.png")
    predict(run, str(tmp_path / "x.png"), str(tmp_path / "out"))
    os.utime(tmp_path / "x.png", (time.time() + 5, time.time() + 5))
    predict(run, str(tmp_path / "x.png"), str(tmp_path / "out"))
    assert len(rows(tmp_path / "out")) == 1
