import csv
import dataclasses

import numpy as np
import pytest
from PIL import Image

from agad_tf.config.errors import RunError, UsageError
from agad_tf.demo import command
from agad_tf.demo.findings import SHOWN_SIDE, Finding, findings_of, slider_range, write_table
from agad_tf.evaluation.thresholds import decide
from agad_tf.prediction.predict import predict
from agad_tf.training.run import train
from tests.runs import digits_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = digits_run(tmp_path_factory.mktemp("demo") / "run", epochs=1)
    train(config)
    return config


@pytest.fixture(scope="module")
def detector(run):
    return command.read_detector(run)


@pytest.fixture(scope="module")
def dropped(tmp_path_factory):
    """Two images and, between them, a file that is none."""
    folder = tmp_path_factory.mktemp("dropped")
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (12, 10), np.uint8)).save(folder / "small.png")
    (folder / "broken.png").write_bytes(b"rubbish")
    Image.fromarray(rng.integers(0, 256, (30, SHOWN_SIDE + 500, 3), np.uint8)).save(folder / "wide.png")
    return [str(folder / name) for name in ("small.png", "broken.png", "wide.png")]


@pytest.fixture(scope="module")
def findings(detector, dropped, tmp_path_factory):
    return list(findings_of(detector, dropped, tmp_path_factory.mktemp("shown")))


def test_scores_and_their_table_are_those_of_predict(run, findings, dropped, tmp_path):
    predict(run, dropped[0].replace("small.png", "*"), str(tmp_path / "out"))
    write_table(tmp_path / "scores.csv", findings, findings[0].score)
    tables = []
    for path in (tmp_path / "out" / "scores.csv", tmp_path / "scores.csv"):
        with path.open(newline="") as file:
            tables.append(list(csv.DictReader(file)))
    predicted, shown = tables
    assert list(predicted[0]) == list(shown[0])
    assert [row["path"] for row in shown] == ["small.png", "wide.png"]
    for name in ("score", "probability", "bytes"):
        assert [row[name] for row in predicted] == [row[name] for row in shown]
    assert shown[0]["is_anomaly"] == "1"


def test_a_file_that_is_no_image_gets_one_sentence_and_the_others_go_on(findings):
    assert [bool(each.complaint) for each in findings] == [False, True, False]
    assert findings[1].complaint.startswith("broken.png cannot be read")
    assert not findings[1].image


def test_images_are_shown_with_their_map_and_no_larger_than_a_page(findings):
    for finding, size in ((findings[0], (10, 12)), (findings[2], (SHOWN_SIDE, 18))):
        with Image.open(finding.image) as image, Image.open(finding.overlay) as overlay:
            assert image.size == overlay.size == size
            assert (image.mode, overlay.mode) == ("L", "RGB")


def test_the_threshold_is_the_one_that_the_validation_scores_give(detector):
    labels, scores = (detector.validation[name].to_numpy() for name in ("label", "anomaly_score"))
    assert set(labels) == {0, 1}
    assert decide(labels, scores.astype(np.float32)).threshold == detector.decision.threshold


def test_the_slider_spans_all_scores_but_those_far_away(detector):
    scores = detector.validation["anomaly_score"]
    lowest, highest, step = slider_range(detector, [])
    assert lowest < scores.min()
    assert scores.max() < highest
    assert 200 < (highest - lowest) / step < 20000
    near, far = (Finding("a", "", highest + 2 * (highest - lowest) * share, 1.0, "a", "b") for share in (1, 1000))
    assert slider_range(detector, [near])[1] >= near.score
    assert slider_range(detector, [far])[1] < far.score


def test_the_slider_has_a_range_where_nothing_but_the_threshold_is_known(detector):
    alone = dataclasses.replace(detector, validation=detector.validation.head(0))
    lowest, highest, step = slider_range(alone, [])
    assert lowest < detector.decision.threshold < highest
    assert step > 0


def test_a_run_without_validation_scores_can_be_shown(run, monkeypatch, tmp_path):
    monkeypatch.setattr(command.Workdir, "validation_scores", tmp_path / "missing.csv")
    assert len(command.read_detector(run).validation) == 0


def test_an_unfinished_run_is_refused_as_by_predict(run, tmp_path):
    with pytest.raises(RunError, match="finish the run"):
        command.read_detector(dataclasses.replace(run, workdir=str(tmp_path)))


def test_without_gradio_the_demo_says_what_to_install(run, monkeypatch):
    monkeypatch.setattr(command, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r'pip install "agad_tf\[demo\]"'):
        command.demo(run)
