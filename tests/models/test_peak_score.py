"""The peak of what is unusual."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from agad_tf.models import peak_score
from agad_tf.models.peak_score import PeakScore, smoothed
from agad_tf.models.whole_image import looks_at

SHAPE = (16, 24, 1)
RNG = np.random.default_rng(0)


def variables(shape, initializer, trainable, name):
    return tf.Variable(tf.fill(shape, float("nan")), trainable=trainable, name=name)


def made():
    return PeakScore(variables, SHAPE, [SHAPE[:2]])


def fitted(maps, others=None):
    images = RNG.normal(size=(len(maps), *SHAPE)).astype(np.float32)
    score = made()
    score.fit(looks_at(images), [[maps]])
    return score, images


def noise(count, deviation=1.0):
    return (RNG.normal(size=(count, *SHAPE[:2], 2)) * deviation).astype(np.float32)


def test_maps_are_smoothed_as_scipy_does():
    maps = noise(3)
    expected = ndimage.gaussian_filter(maps, (0, peak_score.SMOOTHING, peak_score.SMOOTHING, 0))
    np.testing.assert_allclose(smoothed(maps), expected, atol=1e-5)


def test_normal_images_score_about_0_and_one_bright_spot_much_more():
    score, _ = fitted(noise(40))
    images, maps = RNG.normal(size=(20, *SHAPE)).astype(np.float32), noise(20)
    usual = score.standardized_parts(images, [maps]).numpy()
    assert np.abs(usual[:, :2].mean(axis=0)).max() < 1
    maps[:, 5:8, 5:8, 0] += 6
    assert (score.score(images, [maps]).numpy() > score.score(images, [noise(20)]).numpy()).mean() > 0.9


def test_each_part_decides_where_it_deviates_most():
    score, images = fitted(noise(40))
    maps = noise(3)
    maps[0, 3:6, 3:6, 0] += 20
    maps[1, 3:6, 3:6, 1] += 20
    images = images[:3].copy()
    images[2] = np.linspace(-9, 9, 24)[:, None]
    assert np.argmax(score.standardized_parts(images, [maps]), axis=1).tolist() == [0, 1, 2]


@pytest.mark.parametrize("aligned", [True, False])
def test_position_counts_where_normal_images_say_so(aligned):
    maps = noise(60)
    if aligned:
        maps[:, :, :12] *= 10
    score, _ = fitted(maps)
    deviation = np.asarray(score.map_statistics[0][1])
    varies = np.ptp(deviation, axis=(0, 1)) > 1e-6
    assert varies.tolist() == [aligned, aligned]


def at_two_scales(count):
    return [noise(count), noise(count)[:, ::2, ::2]]


def with_spots(maps, scale, kind=1):
    spots = [each.copy() for each in maps]
    spots[scale][:, 5:8, 5:8, kind] += 9
    return spots


def fitted_at_two_scales(maps, altered):
    score = PeakScore(variables, SHAPE, [SHAPE[:2], (8, 12)])
    images = RNG.normal(size=(len(maps[0]), *SHAPE)).astype(np.float32)
    score.fit(looks_at(images), [[each] for each in maps], altered and [[each] for each in altered])
    return score


@pytest.mark.parametrize("kind", [0, 1])
@pytest.mark.parametrize("scale", [0, 1])
def test_a_scale_counts_as_much_as_its_better_map_finds_of_local_anomalies(scale, kind):
    maps = at_two_scales(40)
    score = fitted_at_two_scales(maps, with_spots([each[:20] for each in maps], scale, kind))
    weights = np.asarray(score.scale_weights)
    assert weights[scale] == 1
    assert weights[1 - scale] < 0.1
    images = RNG.normal(size=(9, *SHAPE)).astype(np.float32)
    found, missed = (score.score_and_map(images, with_spots(at_two_scales(9), each)) for each in (scale, 1 - scale))
    assert (found[0].numpy() > 1.5 * missed[0].numpy()).all()
    assert (found[1].numpy().max(axis=(1, 2)) > 1.5 * missed[1].numpy().max(axis=(1, 2))).all()


def test_few_images_tell_scales_apart_less():
    few, many = (fitted_at_two_scales(maps, with_spots(maps, 0)) for maps in (at_two_scales(4), at_two_scales(40)))
    assert few.scale_weights[1] > 2 * many.scale_weights[1]


@pytest.mark.parametrize("is_altered", [False, True])
def test_scales_count_alike_where_nothing_tells_them_apart(is_altered):
    maps = [np.repeat(each[:1], 40, axis=0) for each in at_two_scales(1)]
    score = fitted_at_two_scales(maps, maps if is_altered else None)
    np.testing.assert_array_equal(score.scale_weights, 1)


def test_maps_that_are_not_finite_give_scores_that_are_not():
    maps = [np.full_like(each, np.nan) for each in at_two_scales(8)]
    score = fitted_at_two_scales(maps, maps)
    assert np.isnan(score.score(np.zeros((2, *SHAPE), np.float32), [each[:2] for each in maps])).all()


def test_without_statistics_there_is_no_score():
    assert np.isnan(made().score(np.zeros((2, *SHAPE), np.float32), [noise(2)])).all()
