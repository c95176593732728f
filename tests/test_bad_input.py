"""Runs on folders of images that no one would wish for, from training to predictions."""

import csv
import json

import numpy as np
import pytest

from agad_tf.config.errors import RunError, UsageError
from agad_tf.config.experiment import ExperimentConfig
from agad_tf.files.workdir import Workdir
from agad_tf.prediction import predict
from agad_tf.training import run as training
from tests.data.test_inspection import BAD, GOOD, picture, write


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "set"
    write(root / "normal", {f"{n}.png": picture(n) for n in range(40)})
    write(root / "normal", {**GOOD, **BAD})
    write(root / "<script>boom()<∕script> & scratch", {f"{n}.png": picture(100 + n) for n in range(8)})
    write(root / "<script>boom()<∕script> & scratch", {**GOOD, **BAD})
    return root


def config_for(root, tmp_path, **options):
    return ExperimentConfig(
        **{
            "dataset": "folder",
            "data_dir": str(root),
            "image_size": 16,
            "width": 1 / 16,
            "batch_size": 8,
            "epochs": 1,
            "workdir": str(tmp_path / "run"),
            **options,
        }
    )


def rows_of(path):
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return list(csv.reader(file))


def test_a_run_on_a_folder_of_oddities_leaves_out_what_is_broken_and_says_so(folder, tmp_path, capfd):
    config = config_for(folder, tmp_path)
    training.train(config)
    workdir = Workdir(config.folder)
    said = capfd.readouterr().err
    assert f"{2 * len(BAD)} of {2 * len(GOOD) + 2 * len(BAD) + 48} images are left out" in said
    assert "Traceback" not in said
    assert {path.rsplit("/", 1)[1] for path, _ in rows_of(workdir.left_out)[1:]} == set(BAD)
    scored = {row[0].rsplit("/", 1)[1] for row in rows_of(workdir.scores)[1:]}
    assert scored <= {*GOOD, *(f"{n}.png" for n in range(40))}
    page = workdir.report.read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;boom()" in page
    # A second call needs no image any more, and evaluation sees the same ones.
    before = workdir.scores.read_bytes()
    write(folder / "normal", {"truncated.png": picture(77)})
    training.evaluate(config)
    assert workdir.scores.read_bytes() == before


def test_every_picture_is_scored_or_named_by_predict(folder, tmp_path, capfd):
    config = config_for(folder, tmp_path)
    training.train(config)
    predict.predict(config, str(folder), str(tmp_path / "predictions"))
    scored = {row[0] for row in rows_of(tmp_path / "predictions" / "scores.csv")[1:]}
    unreadable = {row[0] for row in rows_of(tmp_path / "predictions" / "unreadable.csv")[1:]}
    assert {path.rsplit("/", 1)[1] for path in unreadable} == set(BAD)
    assert len(scored) == 48 + 2 * len(GOOD)
    assert len(unreadable) == 2 * len(BAD)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(("normal", "abnormal"), [(0, 9), (1, 9), (9, 1), (9, 0), (2, 2), (1, 1), (0, 0)])
def test_classes_of_hardly_any_pictures_end_in_one_sentence_or_in_figures(tmp_path, normal, abnormal):
    root = tmp_path / "set"
    for name, count in (("normal", normal), ("abnormal", abnormal)):
        (root / name).mkdir(parents=True)
        write(root / name, {f"{n}.png": picture(n) for n in range(count)})
    config = config_for(root, tmp_path, batch_size=2)
    try:
        training.train(config)
    except (RunError, UsageError) as error:
        assert "\n" not in str(error)
        assert str(error).endswith(".")
    else:
        figures = json.loads(Workdir(config.folder).results.read_text())["protocols"]["per_image"]
        if abnormal:
            assert np.isfinite(figures["auroc"])
        else:
            # Good images alone have no AUROC, but figures of their own.
            assert figures["auroc"] is None
            assert np.isfinite(figures["normal_score_median"])
            assert figures["normal_images"] == 2
