import numpy as np
import pytest
import tensorflow as tf

from agad_tf.config.errors import UsageError
from agad_tf.data.images_in_files import Pictures
from agad_tf.data.preprocessing import to_network_input
from agad_tf.data.scoring_batches import scoring_batches
from agad_tf.data.splits import Split
from agad_tf.data.training_batches import batch_size_that_fits, plan_batches, training_batches
from agad_tf.data.training_inputs import training_inputs


def split_of(normals, anomalies=0):
    """Images whose grey value names them: normals count from 0, anomalies from 200."""
    greys = np.concatenate([np.arange(normals), 200 + np.arange(anomalies)]).astype(np.uint8)
    labels = np.repeat([0, 1], [normals, anomalies]).astype(np.int32)
    return Split(np.tile(greys[:, None, None, None], (1, 16, 16, 1)), labels, np.arange(len(labels)))


def greys(images):
    return np.round((np.array(images)[:, 0, 0, 0] + 1) * 127.5).astype(int).tolist()


def batches(train, plan, epochs=2, **options):
    dataset = training_batches(training_inputs(train, 16), plan, epochs, **{"seed": 0, **options})
    return [(greys(images), labels.numpy().tolist()) for images, labels in dataset]


def test_pixels_are_scaled_to_the_range_of_tanh():
    images = np.array([[[[0]], [[255]]]], np.uint8).repeat(8, 1).repeat(16, 2)
    scaled = to_network_input(images, 16)
    assert scaled.dtype == tf.float32
    assert (scaled.numpy().min(), scaled.numpy().max()) == (-1, 1)


@pytest.mark.parametrize("shape", [(8, 8), (28, 28), (40, 20), (1, 1)])
def test_any_size_is_resized(shape):
    images = np.full((2, *shape, 3), 51, np.uint8)
    resized = to_network_input(images, 32)
    assert resized.shape == (2, 32, 32, 3)
    np.testing.assert_allclose(resized, 51 / 127.5 - 1, atol=1e-5)


def test_uint8_and_float_pixels_are_seen_alike():
    images = np.random.default_rng(0).integers(0, 256, (2, 28, 28, 1), np.uint8)
    np.testing.assert_array_equal(to_network_input(images, 32), to_network_input(images.astype(np.float32), 32))


@pytest.mark.parametrize(
    ("normals", "anomalies", "kinds", "expected"),
    [
        (40, 0, (), (32, 8)),
        (32, 0, (), (32, 8)),
        (31, 0, (), (31, 8)),
        (7, 0, (), (7, 8)),
        (28, 0, ("warp",), (32, 8)),
        (7, 0, ("warp",), (7, 8)),
        (24, 2, (), (32, 8)),
        (20, 2, (), (22, 5)),
        (6, 1, ("warp",), (7, 1)),
    ],
)
def test_a_batch_is_made_smaller_where_there_are_too_few_normal_images(normals, anomalies, kinds, expected):
    train = split_of(normals, anomalies)
    batch_size, min_anomalies = batch_size_that_fits(train, 32, 8, kinds)
    assert (batch_size, min_anomalies) == expected
    plan = plan_batches(train, batch_size, min_anomalies, kinds=kinds)
    assert (plan.batch_size, plan.steps_per_epoch >= 1) == (batch_size, True)


def test_an_epoch_shows_every_normal_image_once_in_whole_batches():
    train = split_of(30)
    plan = plan_batches(train, 10, 32)
    assert (plan.normals, plan.anomalies, plan.steps_per_epoch) == (10, 0, 3)
    epochs = batches(train, plan)
    assert len(epochs) == 6
    for epoch in (epochs[:3], epochs[3:]):
        shown = [grey for images, _ in epoch for grey in images]
        assert sorted(shown) == list(range(30))
        assert shown != list(range(30)), "the order must be random"
    assert epochs[:3] != epochs[3:], "and another one in each epoch"


def test_no_tuner_sleeps_behind_the_batches():
    """Whoever stops using them would wait for it, a run that is asked to end too."""
    train = split_of(30)
    plan = plan_batches(train, 10, 32)
    pictures = Pictures(["a.png", "b.png"], 1, 16)
    for made in (training_batches(training_inputs(train, 16), plan, epochs=1, seed=0), scoring_batches(pictures, 16)):
        assert made.options().autotune.enabled is False


def test_every_batch_holds_the_least_number_of_anomalies():
    train = split_of(60, 3)
    plan = plan_batches(train, 20, 8)
    assert (plan.normals, plan.anomalies, plan.steps_per_epoch) == (12, 8, 5)
    shown = []
    for images, labels in batches(train, plan, epochs=1):
        assert labels == [int(grey >= 200) for grey in images]
        assert sum(labels) == 8
        shown += [grey for grey in images if grey >= 200]
    # Three anomalies fill forty places: all come as often, but for one turn that is cut short.
    assert sorted(shown.count(200 + i) for i in range(3)) == [13, 13, 14]


def test_anomalies_have_at_least_their_share_of_a_batch():
    assert plan_batches(split_of(60, 40), 10, 1)[:2] == (6, 4)


def test_a_large_share_of_anomalies_leaves_room_for_a_normal_image():
    assert plan_batches(split_of(5, 95), 4, 1)[:2] == (1, 3)


def test_order_follows_the_seed():
    train = split_of(30, 5)
    plan = plan_batches(train, 10, 4)
    assert batches(train, plan) == batches(train, plan)
    assert batches(train, plan) != batches(train, plan, seed=1)


def test_resumed_run_sees_what_an_unbroken_one_would_have_seen():
    train = split_of(30, 5)
    plan = plan_batches(train, 10, 4)
    unbroken = batches(train, plan, epochs=3)
    assert batches(train, plan, epochs=3, first_epoch=2) == unbroken[2 * plan.steps_per_epoch :]


@pytest.mark.parametrize("replicas", [1, 2, 4])
@pytest.mark.parametrize("workers", [1, 2])
def test_replicas_share_what_one_would_have_seen(replicas, workers):
    if replicas % workers:
        return
    train = split_of(60, 9)
    plan = plan_batches(train, 20, 6, replicas)
    whole = batches(train, plan)
    of_workers = [
        batches(train, plan, context=tf.distribute.InputContext(workers, worker, replicas)) for worker in range(workers)
    ]
    own = replicas // workers
    for step, (images, labels) in enumerate(whole):
        parts = [part for found in of_workers for part in found[step * own : (step + 1) * own]]
        assert [grey for part, _ in parts for grey in part] == images
        shares = [sum(part_labels) for _, part_labels in parts]
        assert sum(shares) == sum(labels) == 6
        assert max(shares) - min(shares) <= 1, "every replica has its share of the anomalies"
    assert all(len(found) == own * len(whole) for found in of_workers)


def test_half_of_all_images_are_mirrored_anew_each_time_and_the_same_when_a_run_goes_on():
    train = split_of(30, anomalies=8)
    train.images[:, :, 8:] = 255  # the name stands on the left, a mirrored image has it on the right
    inputs = training_inputs(train, 16)
    plan = plan_batches(train, 10, 3, kinds=("erasure",), horizontal_flip=True)
    unbroken = [images.numpy() for images, _ in training_batches(inputs, plan, 30, 0)]
    straight = [images.numpy() for images, _ in training_batches(inputs, plan._replace(horizontal_flip=False), 30, 0)]
    mirrored = []
    for shown, original in zip(unbroken, straight, strict=True):
        is_mirrored = (shown != original).any(axis=(1, 2, 3))
        np.testing.assert_array_equal(shown[is_mirrored], original[is_mirrored][:, :, ::-1])
        mirrored.append(is_mirrored)
    of_places = np.mean(mirrored, axis=0)
    assert ((of_places > 0.3) & (of_places < 0.7)).all(), of_places
    assert not np.array_equal(mirrored[0], mirrored[1])
    steps = plan.steps_per_epoch
    gone_on = [images.numpy() for images, _ in training_batches(inputs, plan, 30, 0, first_epoch=1, first_step=1)]
    np.testing.assert_array_equal(gone_on, unbroken[steps + 1 :])


def test_a_batch_that_replicas_cannot_share_is_refused():
    with pytest.raises(UsageError, match="multiple of 3"):
        plan_batches(split_of(60), 20, 6, replicas=3)
    with pytest.raises(UsageError, match=r"18 normal images and 2 anomalies.*4 replicas"):
        plan_batches(split_of(60, 3), 20, 2, replicas=4)


def test_a_batch_larger_than_the_training_set_is_refused():
    with pytest.raises(UsageError, match=r"--batch_size=64 needs 64 normal images.*has 30"):
        plan_batches(split_of(30), 64, 32)


def test_scoring_keeps_the_order_and_the_last_short_batch():
    found = list(scoring_batches(split_of(10).images, 16, batch_size=4))
    assert [len(batch) for batch in found] == [4, 4, 2]
    assert [grey for batch in found for grey in greys(batch)] == list(range(10))
