"""What earlier versions left behind is read, gone on with and served."""

import csv
import dataclasses
import json
import pickle
import tarfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from agad_tf.config.errors import RunError, UsageError
from agad_tf.config.flags import read_config
from agad_tf.data.sources import load_source
from agad_tf.estimator import AGADDetector
from agad_tf.evaluation.results import SCHEMA_VERSION, read_results
from agad_tf.training import run as training

FIXTURES = Path(__file__).with_name("fixtures")
VERSIONS = sorted(path.name.removesuffix(".tar.xz") for path in FIXTURES.glob("*.tar.xz"))
# 0.1.0 took the images of a batch in another order.
SAME_TO_THE_BIT = [version for version in VERSIONS if version != "0.1.0"]
# From 0.6.0 on there are runs with all that a run may keep beside its networks, and a fitted estimator.
WITH_EVERYTHING = [version for version in VERSIONS if version >= "0.6.0"]


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
    assert VERSIONS == ["0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0", "0.6.0"]


def versions_and_runs(*names):
    """Of every version the first run, and the second of those that have it."""
    pairs = [*((version, names[0]) for version in VERSIONS), *((version, names[1]) for version in WITH_EVERYTHING)]
    return pytest.mark.parametrize(("runs", "name"), pairs, indirect=["runs"])


@versions_and_runs("finished", "everything")
def test_a_detector_gives_the_scores_it_gave(runs, name):
    detector = tf.saved_model.load(str(runs / name / "saved_model"))
    scores = detector.serve(load_source("digits").x_test)["score"].numpy()
    expected = scores_of(runs / name)
    np.testing.assert_allclose(scores, [expected[row] for row in range(len(scores))], rtol=1e-5)


@versions_and_runs("finished", "everything")
def test_a_finished_run_is_measured_again_to_the_same_figures_and_exported(runs, name):
    finished = runs / name
    before = scores_of(finished)
    auroc = json.loads((finished / "results.json").read_text())["protocols"]["per_image"]["auroc"]
    training.evaluate(config_of(finished))
    after = scores_of(finished)
    np.testing.assert_allclose([after[row] for row in before], list(before.values()), rtol=1e-5)
    results = read_results(finished / "results.json")
    assert results["schema_version"] == SCHEMA_VERSION
    assert results["protocols"]["per_image"]["auroc"] == pytest.approx(auroc, abs=1e-4)
    training.export(config_of(finished))
    exported = tf.saved_model.load(str(finished / "saved_model"))
    scores = exported.serve(load_source("digits").x_test)["score"].numpy()
    np.testing.assert_allclose(scores, [before[row] for row in range(len(scores))], rtol=1e-5)


@versions_and_runs("unfinished", "everything_unfinished")
def test_an_unfinished_run_is_gone_on_with(runs, name, request, capsys):
    unfinished = runs / name
    training.train(config_of(unfinished))
    assert "Continuing after epoch 1 of 2" in capsys.readouterr().out
    if request.node.callspec.params["runs"] in SAME_TO_THE_BIT:
        expected = scores_of(runs / {"unfinished": "finished", "everything_unfinished": "everything"}[name])
        found = scores_of(unfinished)
        np.testing.assert_allclose([found[row] for row in expected], list(expected.values()), rtol=1e-5)


@pytest.mark.parametrize("runs", WITH_EVERYTHING, indirect=True)
def test_a_fitted_estimator_gives_the_scores_it_gave(runs):
    if tuple(map(int, keras.__version__.split(".")[:2])) < (3, 15):
        pytest.skip("The file was written by Keras 3.15, which writes what earlier versions cannot read.")
    folder = runs / "estimator"
    images, expected = load_source("digits").x_test, np.load(folder / "scores.npy")
    saved, pickled = AGADDetector.load(folder), pickle.loads((folder / "detector.pickle").read_bytes())
    for detector in (saved, pickled):
        np.testing.assert_allclose(detector.score_samples(images), expected, rtol=1e-5)
        assert detector.get_params() == saved.get_params()
        assert detector.decision_ == saved.decision_


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
