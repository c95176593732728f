"""AGAD that restores local anomalies and says of each pixel whether it is abnormal."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from agad_tf.data.crops import random_crops
from agad_tf.models.losses import highest_pixels_loss
from agad_tf.models.segmenting_agad import SegmentingAGAD
from agad_tf.networks import build_discriminator, build_generator, build_segmenter
from agad_tf.training.distribution import mirrored

CROP = (16, 16, 1)


def build(scoring_shape=None, **options):
    keras.utils.set_random_seed(0)
    network = (CROP, 1 / 16, "batch", 1)
    return SegmentingAGAD(
        build_generator("unet", *network),
        build_discriminator(*network),
        build_segmenter(*network),
        scoring_shape=scoring_shape,
        **options,
    )


def stripes(count, height, width, seed=0):
    """Normal images: stripes of several phases, with a little noise."""
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 2 * np.pi, (count, 1, 1, 1))
    wave = 0.6 * np.sin(np.arange(width)[None, None, :, None] * 0.8 + phase)
    return (wave + 0.05 * rng.normal(size=(count, height, width, 1))).clip(-1, 1).astype(np.float32)


@pytest.fixture(scope="module")
def trained():
    """A model that was trained on stripes of 32×48 pixels by crops of 16×16, and adapted."""
    model = build((32, 48, 1))
    model.compile(*(keras.optimizers.Adam(2e-3, 0.5) for _ in range(2)), jit_compile=False)
    images = stripes(32, 32, 48)
    history = model.fit(images, batch_size=8, epochs=25, verbose=0).history
    model.adapt(images, unseen=stripes(12, 32, 48, 1))
    return model, history


def test_both_tasks_are_learned(trained):
    _, history = trained
    assert history["segmentation_loss"][-1] < 0.8 * history["segmentation_loss"][0]
    assert history["contextual_loss"][-1] < 0.8 * history["contextual_loss"][0]


def test_a_small_flaw_of_a_large_image_is_found_and_located(trained):
    model, _ = trained
    normal, flawed = stripes(16, 32, 48, 2), stripes(16, 32, 48, 2)
    flawed[:, 10:14, 20:24] = 0.9
    scores = model.anomaly_score(np.concatenate([normal, flawed])).numpy()
    assert np.mean(scores[16:, None] > scores[None, :16]) > 0.9
    peaks = [np.unravel_index(np.argmax(each), each.shape) for each in model.error_map(tf.constant(flawed)).numpy()]
    inside = [8 <= row < 16 and 18 <= column < 26 for row, column in peaks]
    assert np.mean(inside) > 0.7


def test_the_peak_of_the_map_is_the_local_part_of_the_score(trained):
    model, _ = trained
    images = stripes(4, 32, 48, 3)
    maps = model.error_map(tf.constant(images)).numpy()
    assert maps.shape == (4, 32, 48)
    weights = np.repeat(np.cbrt(np.asarray(model.peak_score.scale_weights)), 2)
    peaks = np.logaddexp(0, model.score_parts(images)[:, :-1]) * weights
    finest, local = peaks[:, :2].max(axis=1), peaks.max(axis=1)
    assert (maps.max(axis=(1, 2)) >= finest - 1e-3).all()
    assert (maps.max(axis=(1, 2)) <= local + 1e-3).all()


def test_until_it_is_adapted_there_is_no_score():
    model = build()
    assert np.isnan(model.reconstruct_and_score(tf.constant(stripes(2, 16, 16)))[1]).all()


def test_it_is_saved_with_what_is_usual(trained, tmp_path):
    model, _ = trained
    images = stripes(5, 32, 48, 4)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.anomaly_score(images), model.anomaly_score(images), rtol=1e-4)
    first, second = (each.train_on_batch(images[:4], return_dict=True) for each in (model, loaded))
    assert first == pytest.approx(second, rel=1e-3)


def test_a_batch_is_altered_as_seed_and_step_say():
    images = stripes(8, 16, 16)
    first, second = build(seed=3), build(seed=3)
    other = build(seed=4)
    for model in (first, second, other):
        model.compile(run_eagerly=True)
    assert all(np.array_equal(a, b) for a, b in zip(first.read_batch(images), second.read_batch(images), strict=True))
    assert not np.array_equal(first.read_batch(images)[0], other.read_batch(images)[0])
    before = first.read_batch(images)[0]
    first.train_on_batch(images)
    assert not np.array_equal(first.read_batch(images)[0], before)


def test_some_images_and_all_labelled_anomalies_stay_as_they_are():
    model = build(light=0.0)
    model.compile(run_eagerly=True)
    images = stripes(64, 16, 16)
    altered, _, originals, masks = model.read_batch((images, np.zeros(64)))
    untouched = np.all(altered.numpy() == originals.numpy(), axis=(1, 2, 3))
    assert 0.05 < untouched.mean() < 0.5
    np.testing.assert_array_equal(masks.numpy().max(axis=(1, 2, 3)) > 0, ~untouched)
    altered, *_ = model.read_batch((images, np.ones(64)))
    np.testing.assert_array_equal(altered, images)


def test_the_segmenter_learns_and_the_generator_does_not_learn_from_it():
    images = stripes(8, 16, 16)
    moved = []
    for rate in (0.0, 1e-2):
        model = build()
        model.compile(segmenter_optimizer=keras.optimizers.SGD(rate), run_eagerly=True)
        before = [variable.numpy() for variable in model.segmenter.trainable_variables]
        model.train_on_batch(images)
        pairs = zip(before, model.segmenter.trainable_variables, strict=True)
        assert all(np.array_equal(old, new.numpy()) for old, new in pairs) is (rate == 0)
        moved.append([variable.numpy() for variable in model.generator.trainable_variables])
    assert all(np.array_equal(*pair) for pair in zip(*moved, strict=True))


@pytest.mark.parametrize("replicas", [1, 2])
def test_it_trains_on_any_number_of_replicas(replicas):
    strategy = tf.distribute.get_strategy() if replicas == 1 else mirrored(["CPU:0", "CPU:1"])
    with strategy.scope():
        model = build()
        model.compile()
    history = model.fit(stripes(8, 16, 16), batch_size=8, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert history["skipped_steps"] == [0]


def test_crops_are_parts_of_their_images():
    images = tf.reshape(tf.range(3 * 20 * 30, dtype=tf.float32), (3, 20, 30, 1))
    crops = random_crops(images, tf.constant([1, 2, 3]), (8, 16)).numpy()
    assert crops.shape == (3, 8, 16, 1)
    for place, crop in enumerate(crops):
        row, column = np.argwhere(images[place, ..., 0].numpy() == crop[0, 0, 0])[0]
        np.testing.assert_array_equal(crop, images[place, row : row + 8, column : column + 16])


def test_a_network_scores_a_larger_image_as_its_parts_far_from_their_edges():
    """The networks are convolutional: what a pixel is told by is its neighbourhood."""
    model = build((64, 64, 1))
    images = tf.constant(stripes(1, 64, 64))
    whole = model.whole_image_generator(images, training=False)
    again = build((64, 64, 1)).whole_image_generator(images, training=False)
    np.testing.assert_allclose(whole, again, atol=1e-6)
    assert {id(v) for v in model.whole_image_generator.variables} == {id(v) for v in model.generator.variables}


@pytest.mark.parametrize(
    "options",
    [
        {"segmenter": None},
        {"segmenter": None, "altered_share": 0.0},
        {"scales": (1,)},
        {"scales": (2,)},
        {"light": 0.0},
        {"aligned": "yes"},
        {"aligned": "no"},
    ],
    ids=str,
)
def test_each_part_can_be_left_out(options):
    keras.utils.set_random_seed(0)
    network = (CROP, 1 / 16, "batch", 1)
    segmenter = build_segmenter(*network)
    networks = (build_generator("unet", *network), build_discriminator(*network))
    model = SegmentingAGAD(*networks, **{"segmenter": segmenter, "scoring_shape": (32, 48, 1), **options})
    model.compile("adam", "adam", jit_compile=False)
    images = stripes(8, 32, 48)
    before = [variable.numpy() for variable in segmenter.trainable_variables]
    model.fit(images, batch_size=4, epochs=1, verbose=0)
    # Eight images and four that training has not seen are enough.
    model.adapt(images, unseen=stripes(4, 32, 48, 1))
    parts = model.score_parts(images)
    assert parts.shape == (8, len(model.part_names))
    assert np.isfinite(parts).all()
    learned = any(
        (variable.numpy() != old).any() for variable, old in zip(segmenter.trainable_variables, before, strict=True)
    )
    assert learned == (model.segmenter is not None)
    assert any("segmentation" in name for name in model.part_names) == (model.segmenter is not None)


def test_no_flaw_is_made_where_none_are_asked_for():
    model = build((16, 16, 1), altered_share=0.0, light=0.0, scales=(1,))
    model.compile("adam", "adam", jit_compile=False)
    images = stripes(4, 16, 16)
    altered, _, found, masks = model.read_batch((images, np.zeros(4, np.float32)))
    np.testing.assert_array_equal(altered, found)
    assert not masks.numpy().any()


def test_a_look_gives_all_at_once_and_keeps_the_moving_statistics(trained):
    model, _ = trained
    images = tf.constant(stripes(4, 32, 48, 5))
    reconstruction, scores, maps = model.reconstruct_score_and_map(images)
    np.testing.assert_allclose(reconstruction, model(images), atol=1e-6)
    np.testing.assert_allclose(scores, model.anomaly_score(images), rtol=1e-4)
    np.testing.assert_allclose(maps, model.error_map(images), rtol=1e-4, atol=1e-4)
    before = [variable.numpy() for variable in model.scoring_variables]
    by_batch = model.reconstruct_and_score(images, batch_statistics=True)[1]
    for variable, expected in zip(model.scoring_variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), expected)
    assert not np.allclose(by_batch, scores)


def test_a_mask_teaches_where_and_a_label_alone_that_something_is_wrong():
    model = build((16, 16, 1), scales=(1,), light=0.0)
    images, labels = stripes(4, 16, 16), np.array([0, 1, 1, 0], np.float32)
    masks = np.zeros((4, 16, 16, 1), np.float32)
    masks[1, 4:8, 4:8], masks[2] = 1, np.nan
    model.compile("adam", "adam", jit_compile=False)
    _, found_labels, _, found = model.read_batch((images, labels, masks))
    np.testing.assert_array_equal(found_labels, labels)
    np.testing.assert_array_equal(found[1], masks[1])
    assert np.isnan(found[2]).all()
    losses = model.losses_of_step(*model.read_batch((images, labels, masks)))
    assert np.isfinite(losses["segmentation_loss"]).all()
    assert (losses["segmentation_loss"].numpy() > 0).all()
    # The loss by a label alone falls where the highest verdict rises.
    low, high = np.full((1, 16, 16, 1), -3, np.float32), np.full((1, 16, 16, 1), -3, np.float32)
    high[0, 2:6, 2:6] = 3
    assert highest_pixels_loss(tf.constant(high))[0] < highest_pixels_loss(tf.constant(low))[0]
