import functools
import itertools

import numpy as np
import pytest
import tensorflow as tf

from agad_tf.data.flaw_fillings import FILLINGS
from agad_tf.data.flaw_shapes import LARGEST_AREA, SHAPES, SMALLEST_AREA
from agad_tf.data.local_anomalies import LEAST_CONTRAST, VISIBLE, add_local_anomalies, kinds_of

SIZES = [(16, 16, 1), (24, 24, 3), (17, 37, 3), (40, 19, 1)]


@functools.cache
def graph_of(size):
    batch, seeds = tf.TensorSpec((None, *size)), tf.TensorSpec((None,), tf.int32)
    return tf.function(add_local_anomalies, input_signature=(batch, batch, seeds), autograph=False)


def in_a_graph(images, partners, seeds):
    return graph_of(tuple(images.shape[1:]))(images, partners, seeds)


def texture(count, size=(32, 32, 1), seed=0):
    """Smooth on one side and rough on the other."""
    height, width, channels = size
    random = np.random.default_rng(seed)
    waves = np.sin(np.arange(width) / 3 + random.uniform(0, 6, (count, 1)))[:, np.newaxis, :, np.newaxis]
    grain = random.uniform(-1, 1, (count, height, width, channels)) * np.linspace(0.05, 0.5, width)[:, np.newaxis]
    return tf.constant(np.clip(waves / 2 + grain, -1, 1), tf.float32)


def made_of(count, size=(32, 32, 1), first_seed=0):
    images = texture(count, size)
    made, masks = in_a_graph(images, texture(count, size, seed=1), tf.range(count) + first_seed)
    return images.numpy(), made.numpy(), masks.numpy()


@pytest.mark.parametrize("size", SIZES)
def test_altered_images_keep_shape_and_range(size):
    images, made, masks = made_of(64, size)
    assert made.shape == images.shape
    assert masks.shape == (64, *size[:2], 1)
    assert made.dtype == masks.dtype == np.float32
    assert np.isfinite(made).all()
    assert np.abs(made).max() <= 1


@pytest.mark.parametrize("size", SIZES)
def test_a_mask_is_one_just_where_the_image_is_visibly_altered(size):
    images, made, masks = made_of(64, size)
    difference = np.abs(made - images).max(axis=-1, keepdims=True)
    np.testing.assert_array_equal(masks, difference > VISIBLE)
    np.testing.assert_array_equal(difference[masks == 0], 0)


@pytest.mark.parametrize("size", SIZES)
def test_nearly_every_flaw_can_be_seen(size):
    images, made, masks = made_of(256, size)
    assert np.mean(masks.any(axis=(1, 2, 3))) > 0.98
    assert np.mean(np.abs(made - images).max(axis=(1, 2, 3)) > LEAST_CONTRAST) > 0.9


@pytest.mark.parametrize("size", SIZES)
def test_a_flaw_does_not_depend_on_what_else_is_in_the_batch(size):
    images, partners, seeds = texture(40, size), texture(40, size, seed=1), tf.range(40)
    whole = in_a_graph(images, partners, seeds)
    for rows in ([3], [39, 0], list(range(40))[::-1], list(range(1, 20))):
        part = in_a_graph(*(tf.gather(values, rows) for values in (images, partners, seeds)))
        for found, expected in zip(part, whole, strict=True):
            np.testing.assert_array_equal(found, tf.gather(expected, rows))


def test_a_seed_says_all_about_a_flaw():
    _, first, _ = made_of(16)
    _, again, _ = made_of(16)
    _, others, _ = made_of(16, first_seed=100)
    np.testing.assert_array_equal(first, again)
    assert not (first == others).all(axis=(1, 2, 3)).any()


def test_flaws_of_one_image_differ_from_each_other():
    image = tf.tile(texture(1), (64, 1, 1, 1))
    made, _ = in_a_graph(image, image, tf.range(64))
    assert len(np.unique(made, axis=0)) >= 63


def test_every_shape_and_filling_occurs_about_equally_often_and_together():
    pairs = list(zip(*(kinds.numpy() for kinds in kinds_of(tf.range(2100))), strict=True))
    counts = [pairs.count(pair) for pair in itertools.product(range(len(SHAPES)), range(len(FILLINGS)))]
    assert sum(counts) == 2100
    assert 60 < min(counts) <= max(counts) < 140


def changed_by(filling, size=(32, 32, 1), partners_grey=None):
    """For every flaw of a filling: the image, what became of it, and where."""
    count = 300
    images = texture(count, size)
    partners = texture(count, size, seed=1) if partners_grey is None else tf.fill(images.shape, partners_grey)
    made, masks = in_a_graph(images, partners, tf.range(count))
    number = [kind.__name__ for kind in FILLINGS].index(filling)
    rows = np.flatnonzero(kinds_of(tf.range(count))[1] == number)
    return [(images[row].numpy(), made[row].numpy(), masks[row].numpy()[..., 0] > 0) for row in rows]


def test_only_the_filling_from_a_partner_depends_on_it():
    for filling in FILLINGS:
        name = filling.__name__
        pairs = zip(changed_by(name, partners_grey=-1.0), changed_by(name, partners_grey=1.0), strict=True)
        alike = [np.array_equal(one, other) for (_, one, _), (_, other, _) in pairs]
        assert len(alike) > 20
        assert not any(alike) if name == "partner" else all(alike)


def test_a_flaw_of_one_grey_brings_all_pixels_nearer_to_it():
    for image, made, mask in changed_by("one_colour"):
        before, after = image[mask], made[mask]
        # At most the range of what was there, so that one grey can have been what all were drawn to.
        assert np.ptp(after) <= np.ptp(before) + 1
        assert (after > before).mean() in (0, 1) or np.ptp(before) > 0.1


def test_some_flaws_of_colour_images_are_grey_and_some_are_coloured():
    grey = tf.zeros((400, 16, 16, 3))
    made, masks = in_a_graph(grey, grey, tf.range(400))
    number = [kind.__name__ for kind in FILLINGS].index("one_colour")
    rows = np.flatnonzero(kinds_of(tf.range(400))[1] == number)
    coloured = [np.ptp(made[row].numpy()[masks[row, ..., 0] > 0], axis=-1).max() > 0.01 for row in rows]
    assert 0.2 < np.mean(coloured) < 0.8


@pytest.mark.parametrize("filling", ["another_place", "turned"])
def test_parts_of_a_constant_image_laid_upon_it_leave_it_as_it_is(filling):
    images = tf.fill((300, 16, 16, 1), 0.25)
    made, masks = in_a_graph(images, images, tf.range(300))
    number = [kind.__name__ for kind in FILLINGS].index(filling)
    rows = np.flatnonzero(kinds_of(tf.range(300))[1] == number)
    assert not masks.numpy()[rows].any()
    np.testing.assert_array_equal(made.numpy()[rows], 0.25)


@pytest.mark.parametrize("grey", [-1.0, 0.0, 1.0])
def test_contrast_colour_and_noise_can_be_seen_on_any_grey(grey):
    images = tf.fill((300, 16, 16, 1), grey)
    _, masks = in_a_graph(images, images, tf.range(300))
    of_own_texture = {"another_place", "partner", "turned"}
    numbers = [number for number, kind in enumerate(FILLINGS) if kind.__name__ not in of_own_texture]
    rows = np.flatnonzero(np.isin(kinds_of(tf.range(300))[1], numbers))
    # Noise may have a tiny flaw's one pixel of the very grey that was there.
    assert masks.numpy()[rows].any(axis=(1, 2, 3)).mean() > 0.98


def test_areas_are_spread_from_tiny_to_a_fifth_and_small_ones_are_common():
    images = tf.fill((600, 64, 64, 1), 0.0)
    _, masks = in_a_graph(images, tf.fill(images.shape, 0.5), tf.range(600))
    areas = masks.numpy().mean(axis=(1, 2, 3))
    areas = areas[areas > 0]
    assert areas.max() < LARGEST_AREA * 1.15
    assert np.quantile(areas, 0.99) > LARGEST_AREA / 2
    assert np.quantile(areas, 0.05) < 2.5 * SMALLEST_AREA
    assert 0.005 < np.median(areas) < 0.03
    logarithms = np.histogram(np.log(areas), np.log(np.geomspace(SMALLEST_AREA, LARGEST_AREA, 6)))[0]
    assert logarithms.min() > 0.05 * len(areas)


def test_flaws_of_every_shape_are_found_everywhere():
    _, _, masks = made_of(900)
    shapes = kinds_of(tf.range(900))[0].numpy()
    small = (masks.mean(axis=(1, 2, 3)) < 0.03) & masks.any(axis=(1, 2, 3))
    for number in range(len(SHAPES)):
        centres = [np.argwhere(mask[..., 0]).mean(axis=0) for mask in masks[small & (shapes == number)]]
        quarters = np.quantile(centres, [0.25, 0.75], axis=0)
        assert (quarters[0] < 14).all()
        assert (quarters[0] > 4).all()
        assert (quarters[1] > 17).all()
        assert (quarters[1] < 27).all()


def test_a_box_is_filled_and_a_stroke_is_thin():
    images = tf.fill((400, 64, 64, 1), 0.0)
    _, masks = in_a_graph(images, tf.fill(images.shape, 0.5), tf.range(400))
    shapes, _ = kinds_of(tf.range(400))
    inner = {shape.__name__: [] for shape in SHAPES}
    for mask, number in zip(masks.numpy()[..., 0] > 0, shapes.numpy(), strict=True):
        if mask.mean() > 0.03:
            core = mask[2:-2, 2:-2]
            for across, down in itertools.product(range(-2, 3), repeat=2):
                core = core & mask[2 + down : 62 + down, 2 + across : 62 + across]
            inner[SHAPES[number].__name__].append(core.sum() / mask.sum())
    assert np.median(inner["box"]) > 0.2
    assert np.median(inner["blobs"]) > 0.1
    assert np.max(inner["stroke"]) < 0.05


def test_flaws_are_made_in_a_pipeline():
    images, partners = texture(8), texture(8, seed=1)
    data = tf.data.Dataset.from_tensor_slices((images, partners, tf.range(8))).batch(4, drop_remainder=True)
    batches = list(data.map(add_local_anomalies, num_parallel_calls=2).as_numpy_iterator())
    _, made, masks = made_of(8)
    np.testing.assert_array_equal(np.concatenate([batch[0] for batch in batches]), made)
    np.testing.assert_array_equal(np.concatenate([batch[1] for batch in batches]), masks)


def test_an_empty_batch_stays_empty():
    made, masks = in_a_graph(texture(8)[:0], texture(8)[:0], tf.range(0))
    assert made.shape == masks.shape == (0, 32, 32, 1)
