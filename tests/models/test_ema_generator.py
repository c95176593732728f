"""Moving averages of the generator, by which images are scored."""

import keras
import numpy as np
import pytest

from agad_tf.models.agad import AGAD
from agad_tf.models.ganomaly import GANomaly
from agad_tf.models.skip_ganomaly import SkipGANomaly
from agad_tf.networks import build_code_comparing_generator, build_discriminator, build_generator


def values(variables):
    return [variable.numpy() for variable in variables]


def assert_close(found, expected):
    for own, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(own, wanted, rtol=1e-5, atol=1e-6)


def test_averages_follow_the_generator_faster_at_first(build_model, batch):
    model = build_model(ema_momentum=0.25)
    expected = values(model.generator.variables)
    assert_close(values(model.ema_generator.variables), expected)
    for step in range(1, 5):
        model.train_on_batch(*batch)
        momentum = min(0.25, (1 + step) / (10 + step))
        reached = values(model.generator.variables)
        expected = [momentum * mean + (1 - momentum) * now for mean, now in zip(expected, reached, strict=True)]
        assert_close(values(model.ema_generator.variables), expected)


def test_none_are_kept_unless_asked_for(build_model):
    assert build_model().ema_generator is None


def test_a_step_that_is_left_out_moves_none(build_model, batch):
    model = build_model(ema_momentum=0.9)
    model.train_on_batch(*batch)
    before = values(model.ema_generator.variables)
    model.train_on_batch(np.full_like(batch[0], np.nan), batch[1])
    for found, expected in zip(values(model.ema_generator.variables), before, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("method", [AGAD, SkipGANomaly, GANomaly])
def test_images_are_scored_by_them(batch, method):
    shape = batch[0].shape[1:]
    coded = build_code_comparing_generator(shape, width=1 / 8, seed=0)
    generator = coded if method is GANomaly else build_generator("encoder_decoder", shape, width=1 / 8, seed=0)
    model = method(generator, build_discriminator(shape, width=1 / 8, seed=1), ema_momentum=0.9)
    model.compile(keras.optimizers.Adam(1e-2), run_eagerly=True)
    for _ in range(3):
        model.train_on_batch(*batch)
    in_training = model(batch[0], training=True).numpy()
    scored = [model(batch[0]), *model.reconstruct_and_score(batch[0]), model.reconstruct_and_score(batch[0], True)[1]]
    of_generator = model.generator(batch[0], training=False)
    of_generator = np.asarray(of_generator[0] if method is GANomaly else of_generator)
    assert np.abs(scored[0] - of_generator).max() > 0.1 * np.abs(of_generator).max()

    for variable, average in zip(model.generator.variables, values(model.ema_generator.variables), strict=True):
        variable.assign(average)
    plain = method(generator, model.discriminator)
    assert_close(
        scored,
        [plain(batch[0]), *plain.reconstruct_and_score(batch[0]), plain.reconstruct_and_score(batch[0], True)[1]],
    )
    assert not np.allclose(in_training, plain(batch[0], training=True), atol=1e-3)


def test_they_are_saved(build_model, batch, tmp_path):
    model = build_model(ema_momentum=0.9)
    for _ in range(3):
        model.train_on_batch(*batch)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.anomaly_score(batch[0]), model.anomaly_score(batch[0]), rtol=1e-6)
    for each in (model, loaded):
        each.train_on_batch(*batch)
    assert_close(values(loaded.ema_generator.variables), values(model.ema_generator.variables))


@pytest.mark.parametrize("momentum", [-0.1, 1.0])
def test_a_momentum_that_is_none_is_refused(build_model, momentum):
    with pytest.raises(ValueError, match="ema_momentum"):
        build_model(ema_momentum=momentum)
