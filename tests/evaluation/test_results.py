import csv
import json

import numpy as np
import pytest

from agad_tf.config.errors import RunError
from agad_tf.data.splits import Split
from agad_tf.evaluation.results import read_results, read_scores, write_results, write_scores

FIGURES = {
    "auroc": 0.9123,
    "auroc_low": 0.9,
    "auroc_high": 0.92,
    "average_precision": 0.8,
    "fpr_at_95_tpr": 0.3,
    "oracle_f1": 0.7,
    "oracle_threshold": 3.0,
    "epoch": 7,
}
RESULTS = {
    "dataset": "digits",
    "normal_class": 0,
    "gamma": 0.05,
    "generator": "unet",
    "seed": 1,
    "method": "agad",
    "channels": 1,
    "detector": {
        "threshold": 3.25,
        "threshold_source": "best F1 on validation images",
        "false_positive_rate": 0.01,
        "true_positive_rate": 0.6,
    },
    "protocols": {"per_image": FIGURES, "family": {**FIGURES, "auroc": 0.999}},
}


def test_results_are_read_back_as_written(tmp_path):
    write_results(tmp_path / "results.json", RESULTS)
    assert read_results(tmp_path / "results.json").items() >= RESULTS.items()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema_version": null}', '{"schema_version": 2}'])
def test_damaged_results_are_refused(tmp_path, text):
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(RunError, match="is damaged"):
        read_results(tmp_path / "results.json")


def test_missing_results_are_refused(tmp_path):
    with pytest.raises(RunError, match="finish the run"):
        read_results(tmp_path / "results.json")


def test_results_of_a_newer_version_are_refused_by_name(tmp_path):
    (tmp_path / "results.json").write_text(json.dumps({"schema_version": 99}))
    with pytest.raises(RunError, match="schema version 99"):
        read_results(tmp_path / "results.json")


def test_results_of_an_earlier_version_say_how_to_renew_them_but_keep_their_figures(tmp_path):
    (tmp_path / "results.json").write_text(json.dumps({**RESULTS, "schema_version": 1}))
    with pytest.raises(RunError, match="--mode=evaluate"):
        read_results(tmp_path / "results.json")
    assert read_results(tmp_path / "results.json", oldest=1)["protocols"] == RESULTS["protocols"]


def test_what_earlier_versions_called_f1_is_read_as_the_oracles(tmp_path):
    earlier = {"auroc": 0.9, "f1": 0.7, "threshold": 3.0}
    results = {**RESULTS, "schema_version": 2, "protocols": {"per_image": earlier, "family": {"auroc": 0.8}}}
    (tmp_path / "results.json").write_text(json.dumps(results))
    protocols = read_results(tmp_path / "results.json")["protocols"]
    assert protocols == {
        "per_image": {"auroc": 0.9, "oracle_f1": 0.7, "oracle_threshold": 3.0},
        "family": {"auroc": 0.8},
    }


def test_scores_are_written_exactly(tmp_path):
    scores = np.random.default_rng(0).normal(size=3).astype(np.float32)
    split = Split(np.zeros((3, 1, 1, 1), np.uint8), np.array([0, 1, 1], np.int32), np.array([7, 8, 2]))
    write_scores(tmp_path / "scores.csv", split, scores)
    rows = list(csv.DictReader((tmp_path / "scores.csv").open()))
    assert [(int(row["image_id"]), int(row["label"])) for row in rows] == [(7, 0), (8, 1), (2, 1)]
    assert np.array_equal([np.float32(row["anomaly_score"]) for row in rows], scores)


def test_scores_are_read_back_as_written(tmp_path):
    split = Split(np.zeros((2, 1, 1, 1), np.uint8), np.array([0, 1], np.int32), np.array([1, 0]))
    scores = np.array([0.1, 2.5], np.float32)
    write_scores(tmp_path / "scores.csv", split, scores, ["NA", "a, b.png"])
    table = read_scores(tmp_path / "scores.csv")
    assert table["image_id"].tolist() == ["a, b.png", "NA"]
    assert table["label"].tolist() == [0, 1]
    assert np.array_equal(table["anomaly_score"].astype(np.float32), scores)


@pytest.mark.parametrize("text", [None, "", "image_id,label\n1,0\n", "image_id,label,anomaly_score\n1,0,much\n"])
def test_damaged_or_missing_scores_are_refused(tmp_path, text):
    if text is not None:
        (tmp_path / "scores.csv").write_text(text)
    with pytest.raises(RunError, match=r"scores\.csv is missing or damaged"):
        read_scores(tmp_path / "scores.csv")
