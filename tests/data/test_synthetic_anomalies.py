import numpy as np
import pytest
import tensorflow as tf

from agad_tf.config.choices import SYNTHETIC_ANOMALIES
from agad_tf.config.errors import UsageError
from agad_tf.data import synthetic_anomalies as synthesis
from agad_tf.data.splits import Split
from agad_tf.data.synthetic_anomalies import synthesize
from agad_tf.data.training_batches import plan_batches, training_batches
from agad_tf.data.training_inputs import training_inputs

SIDE = 16
COUNT = 64


def normal_images(count=COUNT, seed=0, channels=1):
    return tf.constant(np.random.default_rng(seed).uniform(-1, 1, (count, SIDE, SIDE, channels)), tf.float32)


def made_by(kind, images=None, partners=None):
    images = normal_images() if images is None else images
    partners = normal_images(seed=1) if partners is None else partners
    return images.numpy(), synthesize(images, partners, tf.range(len(images)), [kind]).numpy()


def sorted_pixels(images):
    return np.sort(images.reshape(len(images), -1), axis=1)


@pytest.mark.parametrize("kind", SYNTHETIC_ANOMALIES)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_anomaly_differs_from_its_image_and_stays_in_range(kind, channels):
    images, made = made_by(kind, normal_images(channels=channels), normal_images(seed=1, channels=channels))
    assert made.shape == images.shape
    assert np.abs(made).max() <= 1
    # A box may be pasted where it was cut out, though seldom.
    assert np.mean(np.abs(made - images).max(axis=(1, 2, 3)) > 0.01) > 0.95


@pytest.mark.parametrize("kind", SYNTHETIC_ANOMALIES)
def test_anomalies_of_a_kind_differ_from_each_other(kind):
    image = tf.tile(normal_images(1), (COUNT, 1, 1, 1))
    _, made = made_by(kind, image, tf.tile(normal_images(1, seed=1), (COUNT, 1, 1, 1)))
    assert len(np.unique(made, axis=0)) >= 2


@pytest.mark.parametrize("kind", ["rotation", "shuffle"])
def test_turning_and_shuffling_keep_all_pixels(kind):
    images, made = made_by(kind)
    np.testing.assert_array_equal(sorted_pixels(made), sorted_pixels(images))


def test_rotation_is_by_one_two_or_three_quarter_turns():
    images, made = made_by("rotation")
    turns = [
        next(k for k in range(4) if np.array_equal(np.rot90(image, k), one))
        for image, one in zip(images, made, strict=True)
    ]
    assert set(turns) == {1, 2, 3}


def test_a_warp_keeps_what_has_one_grey():
    _, made = made_by("warp", tf.fill((COUNT, SIDE, SIDE, 1), 0.5))
    np.testing.assert_allclose(made, 0.5, atol=1e-6)


def test_a_warp_stays_about_the_centre():
    spot = np.full((COUNT, SIDE, SIDE, 1), -1, np.float32)
    spot[:, 7:9, 7:9] = 1
    _, made = made_by("warp", tf.constant(spot))
    weight = made[..., 0] + 1
    centre = [np.average(np.arange(SIDE), weights=weight.sum(axis=axis).sum(axis=0)) for axis in (1, 2)]
    np.testing.assert_allclose(centre, 7.5, atol=1)


def test_a_pasted_box_comes_from_elsewhere_in_the_image_or_from_its_partner():
    partners = normal_images(seed=1)
    images, made = made_by("cut_paste", partners=partners)
    from_partner = []
    for image, partner, one in zip(images, partners.numpy(), made, strict=True):
        changed = one[one != image]
        assert 0 <= len(changed) <= (synthesis.LARGEST_BOX * SIDE + 1) ** 2
        of_partner = np.isin(changed, partner).all()
        assert of_partner or np.isin(changed, image).all()
        from_partner.append(of_partner)
    assert 0.2 < np.mean(from_partner) < 0.8


def test_an_overlay_shows_both_images():
    partners = normal_images(seed=1)
    images, made = made_by("overlay", partners=partners)
    mean, brighter = (images + partners) / 2, np.maximum(images, partners)
    assert all(
        np.allclose(one, a) or np.allclose(one, b) for one, a, b in zip(made, mean.numpy(), brighter, strict=True)
    )


def test_an_erased_box_has_one_grey():
    images, made = made_by("erasure")
    for image, one in zip(images, made, strict=True):
        changed = one[one != image]
        assert len(np.unique(changed)) == 1
        assert len(changed) >= (synthesis.SMALLEST_BOX * SIDE - 1) ** 2


def test_all_kinds_that_are_asked_for_are_made():
    images, partners = tf.fill((COUNT, SIDE, SIDE, 1), 0.5), tf.fill((COUNT, SIDE, SIDE, 1), -0.5)
    made = synthesize(images, partners, tf.range(COUNT), ["rotation", "overlay"]).numpy()
    turned = (made == 0.5).all(axis=(1, 2, 3))  # the brighter of two is the image itself
    assert 0 < (made == 0).all(axis=(1, 2, 3)).sum() < turned.sum() < COUNT


# === In batches ===


def normal_split(count=40, anomalies=0):
    greys = np.arange(count + anomalies, dtype=np.uint8)
    images = np.tile(greys[:, None, None, None], (1, SIDE, SIDE, 1))
    images[:, : SIDE // 2] += 100  # upright, so that a quarter turn can be told
    return Split(images, np.repeat([0, 1], [count, anomalies]).astype(np.int32), np.arange(count + anomalies))


def rotated_batches(plan, train, **options):
    return list(training_batches(training_inputs(train, SIDE), plan, 2, 0, **options).as_numpy_iterator())


def is_upright(images):
    return np.isclose(images[:, 0, 0, 0] - images[:, -1, 0, 0], 100 / 127.5)


def test_a_batch_has_its_share_of_synthetic_anomalies_and_they_count_as_abnormal():
    train = normal_split(anomalies=8)
    plan = plan_batches(train, 20, 4, kinds=("rotation",), synthetic_share=0.25)
    assert (plan.normals, plan.anomalies, plan.synthetic) == (11, 4, 5)
    assert plan.steps_per_epoch == 40 // 11
    for images, labels in rotated_batches(plan, train):
        upright = is_upright(images)
        assert (~upright).sum() == 5
        assert labels.sum() == 9
        assert labels[~upright].all()


def test_without_kinds_batches_are_what_they_were():
    train = normal_split()
    plain, synthetic = plan_batches(train, 20, 4), plan_batches(train, 20, 4, kinds=("rotation",))
    assert plain == (20, 0, 0, (), False, 2)
    normals = [images[labels == 0] for images, labels in rotated_batches(synthetic, train)]
    assert all(is_upright(images).all() for images in normals)


def test_synthetic_anomalies_are_made_anew_every_epoch_and_the_same_when_a_run_goes_on():
    train = normal_split()
    plan = plan_batches(train, 20, 4, kinds=SYNTHETIC_ANOMALIES)
    unbroken = rotated_batches(plan, train)
    made = [images[labels == 1] for images, labels in unbroken]
    assert not np.array_equal(made[0], made[plan.steps_per_epoch])
    gone_on = rotated_batches(plan, train, first_epoch=1, first_step=1)
    for found, expected in zip(gone_on, unbroken[plan.steps_per_epoch + 1 :], strict=True):
        np.testing.assert_array_equal(found[0], expected[0])


def test_replicas_share_every_kind_evenly_and_make_what_one_would_make():
    train = normal_split(anomalies=8)
    plan = plan_batches(train, 20, 4, replicas=2, kinds=("rotation",), synthetic_share=0.2)
    whole = rotated_batches(plan, train)
    context = tf.distribute.InputContext(num_input_pipelines=1, input_pipeline_id=0, num_replicas_in_sync=2)
    parts = rotated_batches(plan, train, context=context)
    for number, (images, labels) in enumerate(whole):
        halves = parts[2 * number : 2 * number + 2]
        np.testing.assert_array_equal(np.concatenate([half[0] for half in halves]), images)
        assert [half[1].sum() for half in halves] == [labels.sum() / 2] * 2
        assert [(~is_upright(half[0])).sum() for half in halves] == [2, 2]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"min_anomalies": 4, "synthetic_share": 0.94}, "no room for other images"),
        ({"min_anomalies": 1, "synthetic_share": 0.05, "replicas": 4}, "its share"),
    ],
)
def test_batches_without_room_for_every_kind_are_refused(options, complaint):
    with pytest.raises(UsageError, match=complaint):
        plan_batches(normal_split(anomalies=1), 20, kinds=("warp",), **options)


def test_many_anomalies_leave_a_place_for_a_normal_image():
    plan = plan_batches(normal_split(5, anomalies=95), 20, 4, kinds=("warp",), synthetic_share=0.25)
    assert (plan.normals, plan.anomalies, plan.synthetic) == (1, 14, 5)


def test_an_overlay_is_never_of_an_image_with_itself():
    train = normal_split(4)
    plan = plan_batches(train, 4, 1, kinds=("overlay",), synthetic_share=0.5)
    # In float64, as what is rounded in float32 and what is not would differ.
    originals = training_inputs(train, SIDE).of_rows(np.arange(4)).numpy().astype(np.float64)
    means_and_brighter = {
        value
        for i in range(4)
        for j in range(4)
        if i != j
        for value in (
            np.round((originals[i] + originals[j]).ravel()[0] / 2, 4),
            np.round(np.maximum(originals[i], originals[j]).ravel()[0], 4),
        )
    }
    batches = rotated_batches(plan, train)
    made = [one for images, labels in batches for one in images[labels == 1].astype(np.float64)]
    assert all(np.round(one.ravel()[0], 4) in means_and_brighter for one in made)
    darkest = np.round(originals.min(), 4)
    assert all(np.round(one.ravel()[0], 4) > darkest for one in made), "the darkest is brightened by any other"
