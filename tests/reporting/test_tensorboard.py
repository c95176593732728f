import dataclasses
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from agad_tf.evaluation.scorer import Scorer
from agad_tf.models.losses import ANOMALY_TERMS, NORMAL_TERMS
from agad_tf.reporting import tensorboard
from agad_tf.reporting.event_files import event_file
from agad_tf.reporting.tensorboard import Summaries, image_grid, write_figures, write_graph, write_histograms
from agad_tf.training.epoch_scores import EpochScores


def events_of(directory):
    return EventAccumulator(str(directory), size_guidance={"tensors": 0}).Reload()


def test_tensorboard_has_losses_counter_rates_scores_images_and_histograms(fitted, tmp_path):
    model, history = fitted
    events = events_of(tmp_path / "tensorboard")
    tags = set(events.Tags()["tensors"])
    scalars = {*(f"losses/{name}" for name in model.loss_means), "training/discriminator_resets"}
    scalars |= {"validation/validation_auroc", "validation/validation_score"}
    scalars |= {"training/generator_learning_rate", "training/discriminator_learning_rate"}
    images = {f"validation/{label}" for label in ("normal", "abnormal")}
    histograms = {f"scores/validation/{label}" for label in ("normal", "abnormal")}
    assert scalars | images | histograms | {"validation/pr_curves"} <= tags
    assert any(tag.startswith("weights/discriminator/") for tag in tags)
    assert {tag.partition("/")[0] for tag in tags} <= {"losses", "training", "validation", "scores", "weights"}
    assert [event.step for event in events.Tensors("losses/generator_loss")] == [1, 2]
    found = [tf.make_ndarray(event.tensor_proto).item() for event in events.Tensors("losses/generator_loss")]
    assert found == pytest.approx(history["generator_loss"])


@pytest.mark.parametrize("values", [np.random.default_rng(0).normal(size=(50, 7)), np.float32([0.1, 0.1000001, 3e4])])
def test_histograms_are_those_of_tensorflow(values, tmp_path):
    with event_file(tmp_path, "epoch", 1):
        tf.summary.histogram("theirs", values)
        write_histograms({"ours": values})
    events = events_of(tmp_path)
    theirs, ours = (tf.make_ndarray(events.Tensors(name)[0].tensor_proto) for name in ("theirs", "ours"))
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    metadata = [events.SummaryMetadata(name).plugin_data for name in ("theirs", "ours")]
    assert metadata[0] == metadata[1]


def test_without_labelled_anomalies_their_losses_are_not_shown(build_model, task, batch, tmp_path):
    model = build_model()
    normal_only = dataclasses.replace(task, train=task.train.of_label(0))
    scores = EpochScores(normal_only, Scorer(model, 4), tmp_path / "family.npz")
    images = batch[0][batch[1] == 0]
    summaries = Summaries(tmp_path / "events", normal_only, lambda: scores.validation_scores)
    model.fit(images, epochs=1, verbose=0, callbacks=[scores, summaries])
    tags = set(events_of(tmp_path / "events").Tags()["tensors"])
    assert tags >= {f"losses/{name}" for name in NORMAL_TERMS}
    assert not tags & {f"losses/{name}" for name in ANOMALY_TERMS}


def test_tensorflow_keeps_no_number_of_an_epoch(fitted, task, tmp_path):
    scores = np.zeros(len(task.validation.labels), np.float32)
    summaries = Summaries(tmp_path / "events", task, lambda: scores)
    summaries.set_model(fitted[0])
    loss, step = float("0.123456"), int("12345")
    before = sys.getrefcount(loss), sys.getrefcount(step)
    summaries.on_epoch_end(0, {"generator_loss": loss})
    with event_file(tmp_path / "events", "epoch", step):
        tf.summary.scalar("another", np.array(1.0))
    assert (sys.getrefcount(loss), sys.getrefcount(step)) == before


def test_what_is_written_again_takes_the_place_of_what_was(tmp_path):
    for value in (1.0, 2.0):
        with event_file(tmp_path, "test", 3):
            tf.summary.scalar("score", value)
    with event_file(tmp_path, "another-test", 4):
        tf.summary.scalar("score", 5.0)
    found = [tf.make_ndarray(event.tensor_proto).item() for event in events_of(tmp_path).Tensors("score")]
    assert found == [2.0, 5.0]


def test_epochs_of_one_second_are_read_in_their_order(tmp_path):
    for epoch in range(1, 13):
        with event_file(tmp_path, "epoch", epoch):
            tf.summary.scalar("score", epoch)
    assert [event.step for event in events_of(tmp_path).Tensors("score")] == list(range(1, 13))


def test_image_grid_shows_input_reconstruction_re_reconstruction_and_error(fitted, task):
    model, _ = fitted
    images = task.validation.images[:2]
    grid = image_grid(model, images).numpy()[0, ::3, ::3, 0]
    assert grid.shape == (4 * 16, 2 * 16)
    inputs = images[..., 0] / 127.5 - 1
    reconstruction = model.predict(inputs[..., None], verbose=0)
    re_reconstruction = model.predict(reconstruction, verbose=0)
    np.testing.assert_allclose(grid[:16, :16], images[0, ..., 0] / 255, atol=1e-6)
    np.testing.assert_allclose(grid[16:32, 16:], (reconstruction[1, ..., 0] + 1) / 2, atol=1e-5)
    np.testing.assert_allclose(grid[32:48, :16], (re_reconstruction[0, ..., 0] + 1) / 2, atol=1e-5)
    np.testing.assert_allclose(grid[48:, :16], np.abs(inputs[0] - reconstruction[0, ..., 0]) / 2, atol=1e-5)


@pytest.mark.parametrize("numbers", [[1e30, 1e30], [1e17, np.nextafter(1e17, 2e17)], [2.0, 2.0], [0.0, 5.0]])
def test_histograms_hold_numbers_of_any_size(numbers, tmp_path):
    with event_file(tmp_path, "epoch", 1):
        tensorboard.write_histograms({"weights": np.array(numbers)})
    events = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0}).Reload()
    (event,) = events.Tensors("weights")
    assert tf.make_ndarray(event.tensor_proto)[:, 2].sum() == 2


def test_image_grid_shrinks_large_images(fitted, task, monkeypatch):
    model, _ = fitted
    images = task.validation.images[:2]
    monkeypatch.setattr(tensorboard, "GRID_SIDE", 8)
    grid = image_grid(model, images).numpy()[0, ..., 0]
    assert grid.shape == (4 * 8, 2 * 8)
    small = images[1, ..., 0].reshape(8, 2, 8, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(grid[:8, 8:], small / 255, atol=1e-5)


FIGURES = {"auroc": 0.875, "average_precision": 0.5, "fpr_at_95_tpr": 0.25, "oracle_f1": 0.1}


def test_runs_are_compared_by_their_settings_and_figures(task, tmp_path):
    settings = {"gamma": 0.05, "generator": "unet", "contextual_adversarial": True, "anomaly_classes": (1, 2)}
    scores = np.arange(12.0)
    with event_file(tmp_path, "figures", 3):
        write_figures("a", settings, FIGURES, task.test, scores)
    events = events_of(tmp_path)
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    session = HParamsPluginData.FromString(content).session_start_info
    assert session.group_name == "a"
    found = session.hparams
    assert found["gamma"].number_value == 0.05
    assert found["generator"].string_value == "unet"
    assert found["contextual_adversarial"].bool_value
    assert found["anomaly_classes"].string_value == "(1, 2)"
    (auroc,) = events.Tensors("per_image/auroc")
    assert (auroc.step, tf.make_ndarray(auroc.tensor_proto)) == (3, 0.875)


def test_what_could_not_be_measured_is_left_out(task, tmp_path):
    normals = task.test.of_label(0)
    with event_file(tmp_path, "figures", 3):
        write_figures("a", {"gamma": 0.0}, dict.fromkeys(FIGURES), normals, np.arange(6.0))
    tags = events_of(tmp_path).Tags()["tensors"]
    assert not [tag for tag in tags if tag.startswith(("per_image", "test"))]
    assert events_of(tmp_path).SummaryMetadata("_hparams_/session_start_info")


def test_the_precision_recall_curve_is_that_of_the_scores(task, tmp_path):
    # Six normal images, then six abnormal ones; one of either scores like the other kind.
    scores = np.array([1, 2, 3, 4, 5, 9, 8, 10, 11, 12, 13, 14.0])
    with event_file(tmp_path, "figures", 1):
        write_figures("a", {}, FIGURES, task.test, scores)
    (event,) = events_of(tmp_path).Tensors("test/pr_curves")
    true_positives, false_positives, *_ = tf.make_ndarray(event.tensor_proto)
    pairs = {(int(true), int(false)) for true, false in zip(true_positives, false_positives, strict=True)}
    assert {(6, 6), (6, 1), (5, 1), (5, 0), (1, 0)} <= pairs
    assert (6, 0) not in pairs


def test_the_graph_of_scoring_is_shown(build_model, tmp_path):
    with event_file(tmp_path, "test", 1):
        write_graph(build_model(compiled=False))
    names = {node.name.split("/")[0] for node in events_of(tmp_path).Graph().node}
    assert any("convolution" in name for name in names)
    assert len(names) < 100
