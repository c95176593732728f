import shutil
import sys

import numpy as np
import pytest
import tensorflow as tf

from agad_tf.config.errors import RunError
from agad_tf.training import checkpoints as module
from agad_tf.training.checkpoints import Checkpoints, Position, saved_positions
from tests.training.test_distribution import strategy_of


@pytest.fixture
def saved(build_model, batch, tmp_path, request):
    """A model after two epochs with a checkpoint of each, and their directory; options may be its parameter."""
    model = build_model(**getattr(request, "param", {}))
    for variable in model.residual_statistics:
        variable.assign(np.random.default_rng(0).normal(size=variable.shape))
    model.fit(*batch, epochs=2, verbose=0, callbacks=[Checkpoints(model, tmp_path)])
    return model, tmp_path


def state_of(model):
    variables = [*model.weights, *model.generator_optimizer.variables, *model.discriminator_optimizer.variables]
    return [variable.numpy() for variable in variables]


def assert_equal_states(first, second):
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


OPTIONS = ({}, {"pseudo_anomaly_normalization": "auxiliary"}, {"ema_momentum": 0.9}, {"residual_norm": "mahalanobis"})


@pytest.mark.parametrize(("saved", "options"), [(options, options) for options in OPTIONS], indirect=["saved"])
def test_a_checkpoint_restores_weights_optimizers_and_epoch(saved, build_model, options):
    model, directory = saved
    again = build_model(seed=5, **options)
    checkpoints = Checkpoints(again, directory)
    assert checkpoints.restore(directory) == (2, 0)
    assert float(checkpoints.seconds) > 0
    assert_equal_states(state_of(again), state_of(model))


def test_saving_builds_one_graph_however_often_and_saves_what_is_there_now(build_model, tmp_path):
    """What is built anew for every checkpoint stays in memory."""
    model = build_model()
    checkpoints = Checkpoints(model, tmp_path)
    for epoch in (1, 2, 3):
        for variable in model.weights:
            variable.assign(variable * 0 + epoch)
        checkpoints.position = Position(epoch)
        checkpoints.save()
    assert checkpoints._write.experimental_get_tracing_count() == 1
    again = build_model()
    assert Checkpoints(again, tmp_path).restore(tmp_path) == (3, 0)
    assert all((variable.numpy() == 3).all() for variable in again.weights)


def test_tensorflow_keeps_no_number_of_a_checkpoint(build_model, tmp_path):
    checkpoints = Checkpoints(build_model(), tmp_path)
    epoch, step = int("12345"), int("23456")
    before = sys.getrefcount(epoch), sys.getrefcount(step)
    checkpoints.position = Position(epoch, step)
    checkpoints.save()
    checkpoints.position = Position(1)
    checkpoints.save()
    assert (sys.getrefcount(epoch), sys.getrefcount(step)) == before


def test_without_a_checkpoint_there_is_nothing_to_restore(build_model, tmp_path):
    assert Checkpoints(build_model(), tmp_path).restore(tmp_path) == (0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [1, 2])
def test_the_middle_of_an_epoch_is_restored_with_what_its_metrics_have_seen(build_model, tmp_path, replicas):
    images = np.random.default_rng(0).uniform(-1, 1, (24, 16, 16, 1)).astype(np.float32)

    def build():
        with strategy_of(replicas).scope():
            model = build_model(compiled=False)
            model.compile(jit_compile=False)
        return model

    def batches(part):
        return tf.data.Dataset.from_tensor_slices(part).batch(8)

    unbroken = build()
    expected = unbroken.fit(batches(images), verbose=0).history
    model = build()
    checkpoints = Checkpoints(model, tmp_path)
    model.fit(batches(images[:16]), verbose=0, callbacks=[checkpoints])
    # Two steps, and no end of the epoch.
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    checkpoints.position = Position(0, 2)
    checkpoints.learning_rate_scale.assign(0.25)
    checkpoints.save()
    assert saved_positions(tmp_path) == [(0, 2)]
    again = build()
    checkpoints = Checkpoints(again, tmp_path)
    assert checkpoints.restore(tmp_path) == (0, 2)
    assert float(checkpoints.learning_rate_scale) == 0.25
    history = again.fit(batches(images[16:]), verbose=0, callbacks=[checkpoints]).history
    for name, value in expected.items():
        assert history[name] == pytest.approx(value, rel=0 if replicas == 1 else 1e-6)
    assert_equal_states(state_of(again), state_of(unbroken))
    assert saved_positions(tmp_path) == [(0, 2), (1, 0)]


def test_long_epochs_are_saved_from_time_to_time(build_model, batch, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(module, "KEPT", 9)
    model = build_model()
    model.fit(*batch, batch_size=4, epochs=2, verbose=0, callbacks=[Checkpoints(model, tmp_path)])
    assert saved_positions(tmp_path) == [(0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0)]


def test_two_checkpoints_are_kept_and_nothing_beside_them(saved):
    _, directory = saved
    assert {path.name.split(".")[0] for path in directory.iterdir()} == {"epoch-1", "epoch-2"}


@pytest.mark.parametrize("part", ["index", "data-00000-of-00001"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "overwritten", "missing"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(saved, build_model, capsys, part, damage):
    _, directory = saved

    def harm(epoch):
        file = directory / f"epoch-{epoch}.{part}"
        content = file.read_bytes()
        if damage == "missing":
            file.unlink()
        else:
            left = {"truncated": content[: len(content) // 2], "empty": b"", "overwritten": b"\xff" * len(content)}
            file.write_bytes(left[damage])

    harm(2)
    assert Checkpoints(build_model(), directory).restore(directory) == (1, 0)
    without_index = (part, damage) == ("index", "missing")
    assert ("epoch-2 is damaged" in capsys.readouterr().err) != without_index
    if not without_index:
        harm(1)
        with pytest.raises(RunError, match=r"All checkpoints in .* are damaged"):
            Checkpoints(build_model(), directory).restore(directory)


def test_a_flipped_bit_is_noticed_wherever_it_is(saved, build_model):
    """Or else it changes nothing: a file has bytes that no one reads."""
    model, directory = saved
    files = sorted(directory.glob("epoch-2.*"))
    shutil.copytree(directory, before := directory / "before")
    rng = np.random.default_rng(0)
    noticed = 0
    again = build_model()
    checkpoints = Checkpoints(again, directory)
    for flip in range(60):
        file = files[flip % 2]
        content = bytearray(file.read_bytes())
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
        file.write_bytes(content)
        position = checkpoints.restore(directory)
        if position == (1, 0):
            noticed += 1
        else:
            assert_equal_states(state_of(again), state_of(model))
        shutil.copy(before / file.name, file)
    assert noticed > 40


def test_a_checkpoint_of_another_network_is_left_out(saved, build_model, capsys):
    _, directory = saved
    other = build_model(pseudo_anomaly_normalization="auxiliary")
    with pytest.raises(RunError, match="are damaged, or do not fit"):
        Checkpoints(other, directory).restore(directory)
    assert capsys.readouterr().err.count("is damaged") == 2


def test_a_checkpoint_that_cannot_be_written_leaves_the_ones_before(saved, build_model, monkeypatch):
    _, directory = saved
    model = build_model()
    checkpoints = Checkpoints(model, directory)
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    assert checkpoints.restore(directory) == (2, 0)
    checkpoints.position = Position(3)

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        checkpoints.save()
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before
