"""What is usual is learned from as many images as memory holds."""

from types import SimpleNamespace

import numpy as np
import tensorflow as tf

from agad_tf.data import scoring_batches
from agad_tf.data.splits import Split
from agad_tf.data.training_inputs import TrainingInputs
from agad_tf.training.usual_maps import UsualMaps


def numbered(count):
    """Images that are each filled with its number."""
    return np.repeat(np.arange(count, dtype=np.uint8), 16 * 16).reshape(count, 16, 16, 1)


def adapted(monkeypatch, values, pixels, reference=20):
    """What a model is adapted to by ten training images and some that training has not seen: numbers by batch."""
    monkeypatch.setattr(UsualMaps, "VALUES", values)
    monkeypatch.setattr(scoring_batches, "SCORING_PIXELS", pixels)
    found = []

    def adapt(images, unseen):
        for batches in (images, () if unseen is None else unseen):
            found.append([tf.round((batch[:, 0, 0, 0] + 1) * 127.5).numpy().astype(int).tolist() for batch in batches])

    inputs = TrainingInputs(lambda rows: tf.gather(numbered(10) / np.float32(127.5) - 1, rows), 10, 0)
    held_out = Split(numbered(reference), np.zeros(reference, np.int32), np.arange(reference))
    callback = UsualMaps(inputs, held_out, epochs=1)
    callback.set_model(SimpleNamespace(scoring_shape=(16, 16, 1), LEAST_UNSEEN=4, adapt=adapt))
    callback.on_epoch_end(0)
    return found


def test_small_images_are_all_taken_in_batches(monkeypatch):
    images, unseen = adapted(monkeypatch, 2**28, 2**22)
    assert images == [list(range(10))]
    assert unseen == [list(range(16)), list(range(16, 20))]


def test_of_large_images_some_are_taken_one_by_one(monkeypatch):
    """An image has one map of each of two kinds, and one channel."""
    images, unseen = adapted(monkeypatch, 10 * 16 * 16, 16 * 16)
    assert images == [[row] for row in range(10)]
    assert unseen == [[0], [4], [8], [12], [16]]


def test_of_the_largest_four_that_training_has_not_seen_are_taken(monkeypatch):
    images, unseen = adapted(monkeypatch, 1, 16 * 16)
    assert images == [[0]]
    assert unseen == [[0], [5], [10], [15]]


def test_few_that_training_has_not_seen_say_nothing(monkeypatch):
    images, unseen = adapted(monkeypatch, 2**28, 2**22, reference=3)
    assert images == [list(range(10))]
    assert unseen == []
