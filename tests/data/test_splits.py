import numpy as np
import pytest

from agad_tf.config.errors import UsageError
from agad_tf.data.sources import Source
from agad_tf.data.splits import one_class_task


@pytest.fixture
def source():
    """100 training and 10 test images of each of 10 classes; a pixel's value names the image."""
    y_train, y_test = np.tile(np.arange(10), 100), np.tile(np.arange(10), 10)
    x_train = np.arange(1000, dtype=np.uint16).view(np.uint8).reshape(1000, 2, 1, 1)
    x_test = np.arange(100, dtype=np.uint16).view(np.uint8).reshape(100, 2, 1, 1)
    return Source("test", x_train, y_train, x_test, y_test, "memory")


def test_without_gamma_only_normal_images_are_trained_on(source):
    task = one_class_task(source, normal_class=3)
    for split in (task.train, task.validation):
        assert not split.labels.any()
        assert set(source.y_train[split.ids]) == {3}
    assert (len(task.train.ids), len(task.validation.ids)) == (90, 10)


@pytest.mark.parametrize("gamma", [0.05, 0.2, 0.5])
def test_gamma_is_the_share_of_labelled_anomalies(source, gamma):
    task = one_class_task(source, 3, gamma)
    labels = np.concatenate([task.train.labels, task.validation.labels])
    assert labels.mean() == pytest.approx(gamma, abs=0.005)
    assert task.train.labels.mean() == pytest.approx(gamma, abs=0.01)
    assert task.validation.labels.any()
    anomalies = task.train.of_label(1).ids
    assert 3 not in source.y_train[anomalies]


def test_splits_share_no_image_and_carry_the_pixels_of_their_ids(source):
    task = one_class_task(source, 3, 0.2)
    assert not set(task.train.ids) & set(task.validation.ids)
    assert len(set(task.train.ids)) == len(task.train.ids)
    np.testing.assert_array_equal(task.train.images, source.x_train[task.train.ids])
    np.testing.assert_array_equal(task.test.images, source.x_test[task.test.ids])


def test_anomalies_come_from_the_classes_asked_for_and_the_test_set_holds_all(source):
    task = one_class_task(source, 3, 0.2, anomaly_classes=(1, 7))
    assert set(source.y_train[task.train.of_label(1).ids]) == {1, 7}
    assert set(source.y_test[task.test.ids]) == set(range(10))


def test_test_set_is_all_of_it_normals_first(source):
    task = one_class_task(source, 3)
    assert task.test.labels.tolist() == [0] * 10 + [1] * 90
    assert sorted(task.test.ids) == list(range(100))
    assert set(source.y_test[task.test.ids[:10]]) == {3}


def test_seed_fixes_the_draw(source):
    first, again, other = (one_class_task(source, 3, 0.1, seed=seed).train.ids for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert set(first) != set(other)


def test_validation_fraction_never_empties_a_split(source):
    for fraction in (0.001, 0.999):
        task = one_class_task(source, 3, 0.1, validation_fraction=fraction)
        for split in (task.train, task.validation):
            assert set(split.labels) == {0, 1}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"gamma": 0.99}, "asks for 9900 labelled anomalies.*has 900.*Choose --gamma from 0.02 to 0.9"),
        ({"gamma": 0.001}, "asks for 0 labelled anomalies"),
        ({"gamma": 0.6, "anomaly_classes": (1,)}, "has 100"),
        ({"normal_class": 10}, "Class 10 of test has 0 images for training and 0 for testing"),
    ],
)
def test_shares_that_the_data_cannot_give_are_refused(source, arguments, complaint):
    with pytest.raises(UsageError, match=complaint):
        one_class_task(source, **{"normal_class": 3, **arguments})


def test_a_class_of_one_image_is_refused():
    images = np.zeros((1, 2, 2, 1), np.uint8)
    source = Source("test", images, np.array([0]), images.repeat(2, 0), np.array([0, 1]), "memory")
    with pytest.raises(UsageError, match="has one training image"):
        one_class_task(source, 0)


def test_a_test_set_without_anomalies_is_refused():
    images = np.zeros((4, 2, 2, 1), np.uint8)
    source = Source("test", images, np.array([0, 0, 1, 1]), images, np.zeros(4, int), "memory")
    with pytest.raises(UsageError, match=r"nothing can be measured\. Add images of another class"):
        one_class_task(source, 0)


def test_normal_images_alone_make_a_task_without_test_anomalies():
    images = np.zeros((10, 2, 2, 1), np.uint8)
    task = one_class_task(Source("test", images, np.zeros(10, int), images[:3], np.zeros(3, int), "memory"), 0)
    assert [len(split.labels) for split in (task.train, task.validation, task.test)] == [9, 1, 3]
    assert not task.has_test_anomalies


def test_labelled_anomalies_that_are_not_there_are_not_to_be_had_by_another_share():
    images = np.zeros((8, 2, 2, 1), np.uint8)
    source = Source("test", images, np.zeros(8, int), images, np.arange(8) % 2, "memory")
    with pytest.raises(UsageError, match=r"at least two labelled.*has 0\. Give --gamma=0"):
        one_class_task(source, 0, gamma=0.3)
