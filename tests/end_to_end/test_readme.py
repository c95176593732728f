"""Runs the README's first command as a user would, and reads every file that it leaves."""

import csv
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import roc_auc_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agad_tf.config.experiment import ExperimentConfig
from agad_tf.config.flags import read_config
from agad_tf.data.sources import load_source

ROOT = Path(__file__).parents[2]
LEFT = {
    *("config.cfg", "results.json", "scores.csv", "validation_scores.csv", "report.html"),
    *("tensorboard", "checkpoints", "saved_model"),
}
FIGURES = {"auroc", "auroc_low", "auroc_high", "average_precision", "fpr_at_95_tpr", "oracle_f1", "oracle_threshold"}


def digits_command():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.search(r"python -m agad_tf\.main (--flagfile=flags/digits\.cfg\S*)", readme).group(1)


def agad(*arguments):
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, "-m", "agad_tf.main", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "digits"
    started = time.monotonic()
    done = agad(digits_command(), f"--workdir={workdir}")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started < 120, "README promises less than two minutes"
    return workdir, done


def test_it_says_what_it_does_and_nothing_else(run):
    workdir, done = run
    assert str(workdir) in done.stdout
    assert "per_image" in done.stdout
    assert "saved_model" in done.stdout
    # Where output is no terminal there are no bars, but a line an epoch.
    assert len(re.findall(r"^epoch \d+/30  generator_loss", done.stdout, re.MULTILINE)) == 30
    assert done.stderr == ""


def test_it_leaves_what_is_documented_and_nothing_else(run):
    assert {path.name for path in run[0].iterdir()} == LEFT


def test_configuration_has_every_flag(run):
    config = read_config(run[0])
    assert isinstance(config, ExperimentConfig)
    assert config.dataset == "digits"
    assert len((run[0] / "config.cfg").read_text().splitlines()) == len(config.__dataclass_fields__)


def test_results_agree_with_the_scores(run):
    results = json.loads((run[0] / "results.json").read_text())
    assert results["dataset"] == "digits"
    assert results["epochs"] == read_config(run[0]).epochs
    assert results["versions"]["tensorflow"] == tf.__version__
    assert results["seconds"] > 0
    assert set(results["protocols"]) == {"per_image"}
    figures = results["protocols"]["per_image"]
    assert set(figures) >= FIGURES
    assert not figures["labels_leak"]
    assert figures["auroc_low"] <= figures["auroc"] <= figures["auroc_high"]
    rows = list(csv.DictReader((run[0] / "scores.csv").open()))
    assert len(rows) == 360
    labels, scores = ([float(row[key]) for row in rows] for key in ("label", "anomaly_score"))
    assert results["protocols"]["per_image"]["auroc"] == pytest.approx(roc_auc_score(labels, scores))
    normal_class = results["normal_class"]
    y_test = load_source("digits").y_test
    assert all((y_test[int(row["image_id"])] != normal_class) == int(row["label"]) for row in rows)


def test_the_detector_tells_anomalies_from_normal_images(run):
    """A weak bound that any working detector passes and a broken one does not."""
    results = json.loads((run[0] / "results.json").read_text())
    assert results["protocols"]["per_image"]["auroc"] > 0.8


def test_tensorboard_can_be_read(run):
    events = EventAccumulator(str(run[0] / "tensorboard"), size_guidance={"tensors": 0}).Reload()
    tags = set(events.Tags()["tensors"])
    assert {"losses/generator_loss", "losses/discriminator_loss", "training/discriminator_resets"} <= tags
    assert {"validation/normal", "test/normal", "test/abnormal", "scores/test/abnormal"} <= tags
    epochs = read_config(run[0]).epochs
    assert [event.step for event in events.Tensors("losses/generator_loss")] == list(range(1, epochs + 1))


def test_saved_model_gives_the_scores_of_the_table(run):
    rows = list(csv.DictReader((run[0] / "scores.csv").open()))
    scores = {int(row["image_id"]): float(row["anomaly_score"]) for row in rows}
    detector = tf.saved_model.load(str(run[0] / "saved_model"))
    served = detector.serve(load_source("digits").x_test)
    np.testing.assert_allclose(served["score"], [scores[i] for i in range(360)], rtol=5e-6)
    threshold = json.loads((run[0] / "results.json").read_text())["detector"]["threshold"]
    assert float(detector.threshold) == pytest.approx(threshold)


def test_an_audit_finds_nothing_in_the_detector_and_the_leak_in_training_mode(run, tmp_path):
    verdicts = []
    for model, options in (("saved_model", []), (".", ["--training_mode"])):
        flags = ["--dataset=digits", "--normal_class=8", f"--workdir={tmp_path}", *options]
        done = agad("--mode=audit", f"--model={run[0] / model}", *flags)
        assert done.returncode == 0, done.stderr
        verdicts.append(json.loads((tmp_path / "audit.json").read_text())["verdict"])
        assert verdicts[-1] in done.stdout
    assert verdicts[0].startswith("No dependence found")
    assert verdicts[1].startswith("The score of an image depends on its batch")


def test_checkpoints_carry_an_evaluation_to_the_same_results(run):
    def figures_and_scores():
        results = json.loads((run[0] / "results.json").read_text())
        # Of the command that wrote them.
        assert results.pop("seconds_by_part")
        return results, (run[0] / "scores.csv").read_text()

    before = figures_and_scores()
    done = agad("--mode=evaluate", f"--workdir={run[0]}")
    assert done.returncode == 0, done.stderr
    assert figures_and_scores() == before
