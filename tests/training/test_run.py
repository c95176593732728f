import dataclasses
import json
import shutil
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from filelock import FileLock
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agad_tf.config.errors import RunError, UsageError
from agad_tf.config.flags import read_config, to_flagfile
from agad_tf.data.sources import load_source
from agad_tf.data.splits import NORMAL
from agad_tf.evaluation.scorer import Scorer
from agad_tf.files.workdir import Workdir
from agad_tf.models.build import METHODS, build_model
from agad_tf.reporting.event_files import read_curves
from agad_tf.training import run as training
from agad_tf.training.fitting import Fitting
from agad_tf.training.images import load_images
from agad_tf.training.progress import Progress
from agad_tf.training.restore import restore, restore_with_checkpoints
from tests.runs import digits_run


@pytest.fixture
def config(tmp_path):
    return digits_run(
        tmp_path / "run",
        width=1 / 8,
        epochs=3,
        learning_rate_schedule="cosine",
        ema_momentum=0.9,
        score="combined",
    )


class Killed(BaseException):
    """Stands for a process that ends in the middle."""


def kill_in_epoch(monkeypatch, epoch):
    """Ends training when all of an epoch is done but its checkpoint."""
    on_epoch_end = Progress.on_epoch_end

    def end(self, number, logs):
        on_epoch_end(self, number, logs)
        if number == epoch:
            raise Killed

    monkeypatch.setattr(Progress, "on_epoch_end", end)


def files_of(config):
    """scores.csv, and results.json but for where the time of the call went."""
    workdir = Workdir(config.folder)
    results = json.loads(workdir.results.read_text())
    del results["seconds_by_part"]
    return workdir.scores.read_text(), results


def test_a_resumed_run_equals_an_unbroken_one(config, tmp_path, monkeypatch, capsys):
    unbroken = dataclasses.replace(config, workdir=str(tmp_path / "unbroken"))
    training.train(unbroken)
    with monkeypatch.context() as patched, pytest.raises(Killed):
        kill_in_epoch(patched, 1)
        training.train(config)
    training.train(config)
    assert "Continuing after epoch 1 of 3" in capsys.readouterr().out
    (scores, results), (expected_scores, expected_results) = files_of(config), files_of(unbroken)
    assert scores == expected_scores
    assert results["protocols"] == expected_results["protocols"]
    models = [restore_with_checkpoints(c, (16, 16, 1))[0] for c in (config, unbroken)]
    for variables in zip(*(m.weights + m.generator_optimizer.variables for m in models), strict=True):
        np.testing.assert_array_equal(*(variable.numpy() for variable in variables))
    # The epoch that was trained twice is shown once.
    events = EventAccumulator(str(Workdir(config.folder).tensorboard), size_guidance={"tensors": 0}).Reload()
    assert [event.step for event in events.Tensors("losses/generator_loss")] == [1, 2, 3]


@pytest.fixture
def good_images(tmp_path):
    """The options of a run on a folder of 20 good images."""
    folder = tmp_path / "good"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(20):
        Image.fromarray(rng.integers(0, 256, (16, 16), np.uint8)).save(folder / f"{number}.png")
    return {"dataset": "folder", "data_dir": str(folder), "normal_class": 0, "gamma": 0.0}


@pytest.mark.slow
def test_a_resumed_run_of_good_images_alone_equals_an_unbroken_one(config, good_images, tmp_path, monkeypatch):
    config = dataclasses.replace(config, **good_images, synthetic_anomalies=("warp",))
    unbroken = dataclasses.replace(config, workdir=str(tmp_path / "unbroken"))
    training.train(unbroken)
    with monkeypatch.context() as patched, pytest.raises(Killed):
        kill_in_epoch(patched, 1)
        training.train(config)
    training.train(config)
    (scores, results), (expected_scores, expected_results) = files_of(config), files_of(unbroken)
    assert scores == expected_scores
    for part in ("protocols", "detector", "batch_size", "warnings"):
        assert results[part] == expected_results[part]
    assert results["protocols"]["per_image"]["auroc"] is None
    assert 0 <= results["protocols"]["per_image"]["synthetic_auroc"] <= 1
    training.evaluate(config)
    assert files_of(config) == (scores, results)


def test_what_is_measured_is_what_was_trained(config):
    training.train(config)
    model, (_, task) = restore(config), load_images(config)
    scores = Scorer(model, config.batch_size).per_image(task.validation.of_label(NORMAL).images)
    watched = read_curves(Workdir(config.folder).tensorboard)["validation_score"]
    assert scores.mean() == pytest.approx(watched[config.epochs], rel=1e-5)


@pytest.mark.slow
def test_the_seconds_of_the_parts_are_those_of_the_whole(config, capsys):
    training.train(dataclasses.replace(config, epochs=1))
    capsys.readouterr()
    began = time.monotonic()
    training.train(dataclasses.replace(config, workdir=f"{config.workdir}-again"))
    whole = time.monotonic() - began
    seconds = json.loads(Workdir(config.folder.with_name("run-again")).results.read_text())["seconds_by_part"]
    assert sum(seconds.values()) == pytest.approx(whole, rel=0.03)
    assert {"images", "model", "first step", "steps", "validation scores", "test scores"} <= set(seconds)
    assert {"figures", "TensorBoard", "checkpoints", "export", "report"} <= set(seconds)
    assert seconds["other"] < 0.1 * whole
    assert f"It took {sum(seconds.values()):.1f} s: " in capsys.readouterr().out


@pytest.mark.slow
def test_labels_leak_by_the_family_protocol_alone_and_the_table_says_so(config, capsys):
    training.train(dataclasses.replace(config, epochs=1))
    protocols = files_of(config)[1]["protocols"]
    leaks = {name: figures["labels_leak"] for name, figures in protocols.items()}
    assert leaks == {"per_image": False, "family_shuffled": False, "family": True}
    assert "labels leak" in capsys.readouterr().out


@pytest.mark.slow
def test_the_configuration_a_run_leaves_repeats_it(config, tmp_path):
    training.train(config)
    repeated = dataclasses.replace(read_config(config.folder), workdir=str(tmp_path / "again"))
    training.train(repeated)
    assert files_of(repeated)[0] == files_of(config)[0]


def test_flags_that_do_not_fit_the_data_leave_no_run_behind(config):
    with pytest.raises(UsageError, match=r"--gamma=0\.99"):
        training.train(dataclasses.replace(config, gamma=0.99))
    assert not config.folder.exists()


@pytest.mark.slow
def test_a_batch_is_made_smaller_where_there_are_fewer_images(config, capsys):
    training.train(dataclasses.replace(config, batch_size=500, epochs=1))
    results = files_of(config)[1]
    _, task = load_images(config)
    assert results["batch_size"] == len(task.train.labels) < 500
    said = f"The batch size is {results['batch_size']}, not --batch_size=500"
    assert said in capsys.readouterr().out
    assert read_config(config.folder).batch_size == 500
    training.evaluate(read_config(config.folder))
    assert files_of(config)[1]["batch_size"] == results["batch_size"]


def test_a_run_whose_checkpoints_were_removed_starts_anew(config, monkeypatch):
    with monkeypatch.context() as patched, pytest.raises(Killed):
        kill_in_epoch(patched, 1)
        training.train(config)
    shutil.rmtree(Workdir(config.folder).checkpoints)
    training.train(dataclasses.replace(config))
    assert files_of(config)[1]["epochs"] == 3


def test_a_finished_run_is_evaluated_and_exported_again_to_the_same_figures(config):
    training.train(config)
    before = files_of(config)
    saved_model = Workdir(config.folder).saved_model
    training.evaluate(config)
    assert files_of(config) == before
    for path in sorted(saved_model.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    training.export(config)
    digits = load_source("digits").x_test[:5]
    detector = tf.saved_model.load(str(saved_model))
    served = detector.serve(digits)
    assert float(detector.threshold) == pytest.approx(before[1]["detector"]["threshold"])
    ids = [line.split(",") for line in before[0].splitlines()[1:]]
    by_id = {int(number): float(score) for number, _, score in ids}
    np.testing.assert_allclose(served["score"], [by_id[i] for i in range(5)], atol=1e-5)


def test_training_a_finished_run_again_changes_nothing(config, capsys):
    training.train(config)
    before = files_of(config)
    capsys.readouterr()
    training.train(config)
    assert "holds the finished run" in capsys.readouterr().out
    assert files_of(config) == before


def test_another_experiment_in_the_same_folder_is_refused(config):
    config.folder.mkdir()
    (config.folder / "config.cfg").write_text(to_flagfile(config))
    with pytest.raises(UsageError, match="--seed=0, which differs from the flags"):
        training.train(dataclasses.replace(config, seed=1))


def test_an_unfinished_run_is_not_evaluated(config, monkeypatch):
    with monkeypatch.context() as patched, pytest.raises(Killed):
        kill_in_epoch(patched, 1)
        training.train(config)
    with pytest.raises(RunError, match="is not finished"):
        training.evaluate(config)
    with pytest.raises(RunError, match="finish the run"):
        training.export(config)


def test_options_reach_the_batches(config, monkeypatch):
    options = {"synthetic_anomalies": ("warp",), "synthetic_share": 0.25, "horizontal_flip": True}

    def stop(fitting):
        raise Killed(fitting.plan)

    monkeypatch.setattr(Fitting, "run", stop)
    with pytest.raises(Killed) as killed:
        training.train(dataclasses.replace(config, **options))
    (plan,) = killed.value.args
    assert (plan.synthetic, plan.kinds, plan.horizontal_flip) == (config.batch_size // 4, ("warp",), True)


def test_options_reach_the_model(config):
    model = build_model(
        dataclasses.replace(
            config,
            generator="unet",
            normalization="group",
            anomaly_distance="reconstruction",
            lambda_adv=2.0,
            lambda_con=3.0,
            lambda_adcon=4.0,
            lambda_lat=6.0,
            reciprocal_epsilon=0.5,
            reinit_threshold=0.25,
            learning_rate=1e-3,
            beta_1=0.25,
            beta_2=0.75,
            seed=9,
        ),
        image_shape=(16, 16, 3),
    )
    assert model.generator.name == "unet"
    assert model.generator.input_shape == (None, 16, 16, 3)
    assert model.loss_weights == (2.0, 3.0, 4.0, 6.0, 0.5)
    assert (model.anomaly_distance, model.reinit_threshold, model.seed) == ("reconstruction", 0.25, 9)
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.generator.layers)
    for optimizer in (model.generator_optimizer, model.discriminator_optimizer):
        assert float(optimizer.learning_rate) == pytest.approx(1e-3)
        assert (optimizer.beta_1, optimizer.beta_2) == (0.25, 0.75)


def test_generator_and_discriminator_start_from_different_kernels(config):
    model = build_model(dataclasses.replace(config, width=1.0), (16, 16, 1))
    first_kernels = [network.trainable_variables[0].numpy() for network in (model.generator, model.discriminator)]
    assert first_kernels[0].shape == first_kernels[1].shape
    assert not np.array_equal(*first_kernels)


@pytest.mark.parametrize(("choice", "compiled"), [("auto", False), ("true", True), ("false", False)])
def test_xla_is_left_off_on_cpu_unless_asked_for(config, choice, compiled):
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("this machine has a GPU")
    model = build_model(dataclasses.replace(config, jit_compile=choice), (16, 16, 1))
    assert model.compiles_gradients is compiled


def test_losses_that_diverge_end_the_run_in_one_sentence(config):
    with pytest.raises(RunError, match=r"not finite.*lower --learning_rate"):
        training.train(dataclasses.replace(config, learning_rate=1e30, gamma=0.0))


@pytest.mark.parametrize("method", ["ganomaly", "skip_ganomaly"])
def test_ancestors_are_built_with_the_weights_of_their_papers(config, method):
    model = build_model(dataclasses.replace(config, method=method, gamma=0.0, score="euclidean"), (16, 16, 1))
    assert type(model) is METHODS[method]
    assert model.loss_weights.latent == 1.0


def test_a_run_is_trained_by_one_process_at_a_time(config):
    checkpoints = Workdir(config.folder).checkpoints
    checkpoints.mkdir(parents=True)
    with FileLock(checkpoints / "lock"), pytest.raises(RunError, match="Another process is using"):
        training.train(config)
