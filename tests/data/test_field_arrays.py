"""Arrays as users have them: faults of whole kinds that users have met."""

import numpy as np
import pytest

from agad_tf.config.errors import RunError, UsageError
from agad_tf.data.sources import load_source

RNG = np.random.default_rng(0)


def npz(path, images, labels=None, **others):
    labels = np.arange(len(images)) % 2 if labels is None else labels
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels, **others)
    return load_source("npz", str(path))


BYTES = RNG.integers(0, 256, (12, 8, 8, 3), np.uint8)
BYTES[0, 0, 0] = 255, 0, 255
ALIKE = {
    "float32 of 0 to 1": BYTES.astype(np.float32) / 255,
    "float64 of 0 to 1": BYTES / 255,
    "float16 of 0 to 255": BYTES.astype(np.float16),
    "float32 of 0 to 255": BYTES.astype(np.float32),
    "float32 of -1 to 1": BYTES.astype(np.float32) / 127.5 - 1,
    "int64": BYTES.astype(np.int64),
    "uint16 of 8 bits": BYTES.astype(np.uint16),
    "uint16": BYTES.astype(np.uint16) * 257,
    "12 bits": BYTES.astype(np.uint16) * 16 + 15,
    "28 bits": BYTES.astype(np.uint32) * 2**20,
    "32 bits": BYTES.astype(np.uint32) * 2**24,
    "64 bits": BYTES.astype(np.uint64) * np.uint64(2**56),
}


@pytest.mark.parametrize("form", ALIKE)
def test_npz_of_floats_and_wider_integers_is_read(tmp_path, form):
    source = npz(tmp_path / "set.npz", ALIKE[form])
    np.testing.assert_array_equal(source.x_train, BYTES)
    assert source.x_train.dtype == np.uint8
    plain = form in ("int64", "uint16 of 8 bits", "uint16", "32 bits", "64 bits")
    assert ("The detector takes 0 to 255" in source.note) == (not plain)


def test_npz_of_negative_integers_is_read_by_its_own_range(tmp_path):
    source = npz(tmp_path / "set.npz", BYTES.astype(np.int16) * 2 - 1000)
    np.testing.assert_allclose(source.x_train, BYTES, atol=1)


def test_npz_of_truth_values_is_read(tmp_path):
    np.testing.assert_array_equal(npz(tmp_path / "set.npz", BYTES > 99).x_train, (BYTES > 99) * 255)


def test_npz_is_read_by_one_range_for_all_parts(tmp_path):
    images, labels = BYTES / 255, np.arange(12) % 2
    np.savez(tmp_path / "set.npz", x_train=images / 2, y_train=labels, x_test=images, y_test=labels)
    source = load_source("npz", str(tmp_path / "set.npz"))
    np.testing.assert_allclose(source.x_train, BYTES / 2, atol=0.51)
    np.testing.assert_array_equal(source.x_test, BYTES)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, bool])
def test_npz_of_one_hot_labels_is_read(tmp_path, dtype):
    labels = np.arange(12) % 3
    source = npz(tmp_path / "set.npz", BYTES, np.eye(3)[labels].astype(dtype))
    assert source.y_train.tolist() == labels.tolist()


def test_npz_of_whole_labels_in_floats_is_read(tmp_path):
    assert npz(tmp_path / "set.npz", BYTES, np.arange(12) % 2 * 1.0).y_test.tolist() == [0, 1] * 6


SENTENCES = {
    "string labels": (BYTES, np.array(["good", "bad"] * 6), "must hold class numbers from 0"),
    "channels first": (np.moveaxis(BYTES, -1, 1), None, "with channels first; put them last"),
    "alpha": (np.concatenate([BYTES, BYTES[..., :1]], -1), None, r"must be numbers \(images, height, width\)"),
    "several labels": (BYTES, np.ones((12, 3), int), "one class for each image"),
    "not finite": (np.full((4, 8, 8), np.nan), None, "not finite"),
    "text": (np.full((4, 8, 8), "a"), None, "must be numbers"),
}


@pytest.mark.parametrize("case", SENTENCES)
def test_npz_that_is_not_plain_gets_a_sentence(tmp_path, case):
    images, labels, sentence = SENTENCES[case]
    with pytest.raises(RunError, match=sentence):
        npz(tmp_path / "set.npz", images, labels)


def test_npz_is_spoken_of_by_its_own_names(tmp_path):
    np.savez(tmp_path / "set.npz", train_images=np.full((4, 8, 8), np.nan), train_labels=np.zeros(4, int))
    with pytest.raises(RunError, match="train_images is float64 with values that are not finite"):
        load_source("npz", str(tmp_path / "set.npz"))


def test_npz_with_a_part_without_images_is_as_without_it(tmp_path):
    labels = np.arange(12) % 2
    parts = {"x_test": BYTES[:0], "y_test": labels[:0]}
    np.savez(tmp_path / "normal.npz", x_train=BYTES, y_train=labels * 0, **parts)
    assert len(load_source("npz", str(tmp_path / "normal.npz")).x_test) == 3
    np.savez(tmp_path / "both.npz", x_train=BYTES, y_train=labels, **parts)
    with pytest.raises(UsageError, match="Only a set of one class"):
        load_source("npz", str(tmp_path / "both.npz"))


def test_npz_of_parts_that_differ_in_depth_is_refused(tmp_path):
    labels = np.arange(12) % 2
    wide = BYTES.astype(np.uint16)
    np.savez(tmp_path / "deep.npz", x_train=BYTES, y_train=labels, x_test=wide * 16, y_test=labels)
    with pytest.raises(
        RunError, match="8 bits with images of more: x_train uint8, x_test uint16; convert them to one type"
    ):
        load_source("npz", str(tmp_path / "deep.npz"))
    np.savez(tmp_path / "wide.npz", x_train=BYTES, y_train=labels, x_test=wide, y_test=labels)
    np.testing.assert_array_equal(load_source("npz", str(tmp_path / "wide.npz")).x_test, BYTES)


def test_npz_of_objects_is_told_to_hold_numbers(tmp_path):
    with pytest.raises(RunError, match="save arrays of numbers"):
        npz(tmp_path / "set.npz", BYTES, np.array(["good", "bad"] * 6, object))
