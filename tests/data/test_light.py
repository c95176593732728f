import numpy as np
import pytest
import tensorflow as tf

from agad_tf.data import light
from agad_tf.data.light import MOST_GAIN, MOST_GAMMA, MOST_OFFSET, vary_light


def images_of(count, channels=1):
    return tf.constant(np.random.default_rng(0).uniform(-1, 1, (count, 7, 11, channels)), tf.float32)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_light_keeps_shape_and_range_and_changes_every_image(channels, strength):
    images = images_of(64, channels)
    made = vary_light(images, tf.range(64), strength).numpy()
    assert made.shape == images.shape
    assert np.abs(made).max() <= 1
    assert (made != images.numpy()).any(axis=(1, 2, 3)).all()


def test_no_strength_leaves_images_as_they_are():
    images = images_of(4)
    np.testing.assert_array_equal(vary_light(images, tf.range(4), 0.0), images)


def test_brighter_pixels_stay_brighter():
    images = tf.tile(tf.reshape(tf.linspace(-1.0, 1.0, 96), (1, 8, 12, 1)), (64, 1, 1, 1))
    made = vary_light(images, tf.range(64), 1.0).numpy().reshape(64, -1)
    assert (np.diff(made, axis=1) >= 0).all()
    assert (np.ptp(made, axis=1) > 0.5).all()


@pytest.mark.parametrize("strength", [0.1, 1.0])
def test_light_changes_both_ways_and_never_more_than_the_strength_says(strength):
    middle = tf.zeros((500, 2, 2, 1))
    made = vary_light(middle, tf.range(500), strength).numpy()[:, 0, 0, 0]
    darkest, brightest = (2 * 0.5 ** (MOST_GAMMA ** (way * strength)) - 1 for way in (1, -1))
    limits = [
        MOST_GAIN**strength * grey + way * MOST_OFFSET * strength for way, grey in ((-1, darkest), (1, brightest))
    ]
    assert limits[0] <= made.min() < limits[0] / 2
    assert limits[1] / 2 < made.max() <= limits[1]


def test_a_curve_is_close_to_gamma(monkeypatch):
    monkeypatch.setattr(light, "MOST_GAIN", 1.0)
    monkeypatch.setattr(light, "MOST_OFFSET", 0.0)
    ramp = tf.tile(tf.reshape(tf.linspace(-1.0, 1.0, 101), (1, 1, 101, 1)), (64, 1, 1, 1))
    made = (vary_light(ramp, tf.range(64), 1.0).numpy().reshape(64, 101) + 1) / 2
    gamma = np.log(made[:, 50:51]) / np.log(0.5)
    assert gamma.min() < 0.75
    assert gamma.max() > 1.4
    np.testing.assert_allclose(made, np.linspace(0, 1, 101) ** gamma, atol=0.07)


def test_a_mild_strength_varies_overall_brightness_mildly():
    spread = np.std(vary_light(tf.zeros((500, 2, 2, 1)), tf.range(500), 0.3).numpy()[:, 0, 0, 0])
    assert 0.05 < spread < 0.3


def test_light_does_not_depend_on_what_else_is_in_the_batch_and_a_graph_makes_the_same():
    images, seeds = images_of(9, 3), tf.range(9)
    whole = vary_light(images, seeds, 0.5).numpy()
    for row in range(9):
        alone = vary_light(images[row : row + 1], seeds[row : row + 1], 0.5)[0]
        np.testing.assert_array_equal(alone, whole[row])
    data = tf.data.Dataset.from_tensor_slices((images, seeds)).batch(2)
    batches = data.map(lambda *values: vary_light(*values, 0.5)).as_numpy_iterator()
    np.testing.assert_allclose(np.concatenate(list(batches)), whole, atol=1e-6)


def test_another_seed_makes_another_light():
    image = tf.tile(images_of(1), (32, 1, 1, 1))
    assert len(np.unique(vary_light(image, tf.range(32), 0.5), axis=0)) == 32


def test_channels_are_changed_alike():
    grey = tf.tile(images_of(8), (1, 1, 1, 3))
    made = vary_light(grey, tf.range(8), 0.7).numpy()
    np.testing.assert_array_equal(made[..., :1].repeat(3, axis=-1), made)


@pytest.mark.parametrize("strength", [-0.1, 1.5])
def test_a_strength_out_of_range_is_refused(strength):
    with pytest.raises(ValueError, match="from 0 to 1"):
        vary_light(images_of(1), tf.range(1), strength)
