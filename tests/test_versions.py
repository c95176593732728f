"""What earlier versions left behind is read, gone on with and served."""

import csv
import dataclasses
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from agad_tf.config.errors import RunError, UsageError
from agad_tf.config.flags import read_config
from agad_tf.data.sources import load_source
from agad_tf.evaluation.results import SCHEMA_VERSION, read_results
from agad_tf.training import run as training

FIXTURES = Path(__file__).with_name("fixtures")
VERSIONS = sorted(path.name.removesuffix(".tar.xz") for path in FIXTURES.glob("*.tar.xz"))
# 0.1.0 took the images of a batch in another order.
SAME_TO_THE_BIT = [version for version in VERSIONS if version != "0.1.0"]


@pytest.fixture
def runs(tmp_path, request):
    with tarfile.open(FIXTURES / f"{request.param}.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def config_of(folder):
    return dataclasses.replace(read_config(folder), workdir=str(folder))


def scores_of(folder):
    with (folder / "scores.csv").open() as file:
        return {int(row["image_id"]): float(row["anomaly_score"]) for row in csv.DictReader(file)}


def test_every_released_version_is_here():
    assert VERSIONS == ["0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0"]


@pytest.mark.parametrize("runs", VERSIONS, indirect=True)
def test_a_detector_gives_the_scores_it_gave(runs):
    detector = tf.saved_model.load(str(runs / "finished" / "saved_model"))
    scores = detector.serve(load_source("digits").x_test)["score"].numpy()
    expected = scores_of(runs / "finished")
    np.testing.assert_allclose(scores, [expected[row] for row in range(len(scores))], rtol=1e-5)


@pytest.mark.parametrize("runs", VERSIONS, indirect=True)
def test_a_finished_run_is_measured_again_to_the_same_figures_and_exported(runs):
    finished = runs / "finished"
    before = scores_of(finished)
    auroc = json.loads((finished / "results.json").read_text())["protocols"]["per_image"]["auroc"]
    training.evaluate(config_of(finished))
    after = scores_of(finished)
    np.testing.assert_allclose([after[row] for row in before], list(before.values()), rtol=1e-5)
    results = read_results(finished / "results.json")
    assert results["schema_version"] == SCHEMA_VERSION
    assert results["protocols"]["per_image"]["auroc"] == pytest.approx(auroc, abs=1e-4)
    training.export(config_of(finished))


@pytest.mark.parametrize("runs", VERSIONS, indirect=True)
def test_an_unfinished_run_is_gone_on_with(runs, request, capsys):
    unfinished = runs / "unfinished"
    training.train(config_of(unfinished))
    assert "Continuing after epoch 1 of 2" in capsys.readouterr().out
    if request.node.callspec.params["runs"] in SAME_TO_THE_BIT:
        expected = scores_of(runs / "finished")
        found = scores_of(unfinished)
        np.testing.assert_allclose([found[row] for row in expected], list(expected.values()), rtol=1e-5)


@pytest.mark.parametrize("runs", VERSIONS[-1:], indirect=True)
def test_figures_of_a_version_to_come_are_refused_by_name(runs):
    path = runs / "finished" / "results.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": SCHEMA_VERSION + 1}))
    with pytest.raises(RunError, match=rf"schema version {SCHEMA_VERSION + 1}, newer than {SCHEMA_VERSION}; update"):
        training.export(config_of(runs / "finished"))


@pytest.mark.parametrize("runs", VERSIONS[-1:], indirect=True)
def test_a_configuration_that_lost_a_line_is_not_taken_for_an_old_one(runs):
    path = runs / "finished" / "config.cfg"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.startswith("--seed")))
    with pytest.raises(UsageError, match="damaged"):
        read_config(runs / "finished")
