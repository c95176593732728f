"""Masks of labelled anomalies, from files to the batches that networks learn from."""

import numpy as np
import pytest
from PIL import Image

from agad_tf.data.masks import masks_at_size
from agad_tf.data.preprocessing import to_network_input
from agad_tf.data.sources import load_source
from agad_tf.data.splits import Split
from agad_tf.data.training_batches import plan_batches, training_batches
from agad_tf.data.training_inputs import training_inputs
from tests.data.files import numbered, task_of, write

NORMALS, ANOMALIES = 12, 4


def masks_of_training(root, **options):
    source = load_source("folder", str(root), 16, **options)
    names = [path.removeprefix(f"{root}/") for path in source.x_train.paths]
    return {names[row]: [str(mask.relative_to(root)) for mask in masks] for row, masks in source.train_masks.items()}


def test_a_mask_is_that_of_a_training_image_if_no_test_image_may_own_it(tmp_path):
    write(tmp_path, *numbered("train/good", 4), *numbered("test/good", 2))
    write(tmp_path, "train/hole/000.png", "train/hole/001.png", "test/hole/001.png", "test/hole/002.png", value=50)
    write(tmp_path, *(f"ground_truth/hole/00{number}_mask.png" for number in range(3)), value=50)
    assert masks_of_training(tmp_path) == {"train/hole/000.png": ["ground_truth/hole/000_mask.png"]}
    tested = load_source("folder", str(tmp_path), 16)
    assert [masks[0].name for masks in tested.test_masks.values()] == ["001_mask.png", "002_mask.png"]


def test_training_images_of_sets_that_are_not_divided_keep_their_masks(tmp_path):
    write(tmp_path, *numbered("good", 8), *numbered("hole", 6))
    write(tmp_path, *(f"ground_truth/hole/00{number}.png" for number in range(6)), value=50)
    found = masks_of_training(tmp_path)
    assert len(found) == 3
    assert all(masks == [f"ground_truth/{name}"] for name, masks in found.items())


def test_a_csv_may_name_masks_of_training_images(tmp_path):
    names = [*numbered("good", 6), *numbered("hole", 3)]
    write(tmp_path, *names, "masks/a.png", value=50)
    lines = [f"{name},{name.split('/')[0]},{'test' if name.endswith('0.png') else 'train'}," for name in names]
    lines[-1] += "masks/a.png"
    (tmp_path / "set.csv").write_text("\n".join(["path,label,split,mask", *lines]))
    source = load_source("folder", str(tmp_path / "set.csv"), 16)
    assert [path.name for masks in source.train_masks.values() for path in masks] == ["a.png"]
    assert source.x_train.paths[next(iter(source.train_masks))].endswith("hole/002.png")


def test_images_and_masks_that_cannot_be_read_leave_the_others_in_their_places(tmp_path):
    write(tmp_path, *numbered("train/good", 4), *numbered("test/good", 2), *numbered("test/hole", 1))
    write(tmp_path, *numbered("train/hole", 4), value=50)
    write(tmp_path, *(f"ground_truth/hole/00{number}_mask.png" for number in range(1, 4)), value=50)
    (tmp_path / "train/hole/000.png").write_bytes(b"")
    (tmp_path / "ground_truth/hole/002_mask.png").write_bytes(b"")
    source, task = task_of(tmp_path, gamma=0.4, validation_fraction=0.3)
    names = {source.x_train.paths[row][-7:]: masks[0].name for row, masks in source.train_masks.items()}
    assert names == {"001.png": "001_mask.png", "003.png": "003_mask.png"}
    assert task.train.labels.any()


def test_without_labelled_anomalies_no_mask_of_training_is_looked_at(tmp_path, capsys):
    write(tmp_path, *numbered("train/good", 4), *numbered("test/good", 2), *numbered("test/hole", 1))
    write(tmp_path, *numbered("train/hole", 4), value=50)
    (tmp_path / "ground_truth/hole").mkdir(parents=True)
    (tmp_path / "ground_truth/hole/001_mask.png").write_bytes(b"")
    assert task_of(tmp_path)[0].train_masks == {}
    assert "left out" not in capsys.readouterr().err


# === Sizes ===


def save(path, pixels):
    Image.fromarray(pixels).save(path)
    return path


def test_a_mask_is_resized_as_its_image_is(tmp_path):
    shape = np.zeros((40, 120), np.uint8)
    shape[10:21, 30:60] = 255
    (mask,) = masks_at_size([[save(tmp_path / "a.png", shape)]], (16, 48))
    image = to_network_input(shape[np.newaxis, ..., np.newaxis], (16, 48))[0].numpy()
    assert mask.shape == (16, 48, 1)
    assert set(np.unique(mask)) == {0, 1}
    np.testing.assert_array_equal(mask[image > 0], 1)
    np.testing.assert_array_equal(mask[image < -0.6], 0)


def test_a_flaw_of_one_pixel_is_still_there_in_a_small_mask(tmp_path):
    shape = np.zeros((400, 400), np.uint8)
    shape[210, 90] = 255
    (mask,) = masks_at_size([[save(tmp_path / "a.png", shape)]], 16)
    assert 1 <= mask.sum() <= 4
    assert mask[8, 3] == 1


def test_nothing_is_known_without_a_mask_or_by_one_that_is_black(tmp_path):
    black = save(tmp_path / "a.png", np.zeros((40, 40), np.uint8))
    found = masks_at_size([[], [black]], 16)
    assert found.shape == (2, 16, 16, 1)
    assert np.isnan(found).all()


# === Batches ===


@pytest.fixture
def train(tmp_path):
    """Images with a white box on the left where they are abnormal, and the masks of all anomalies but the first."""
    random = np.random.default_rng(0)
    images = random.integers(0, 100, (NORMALS + ANOMALIES, 16, 16, 1), np.uint8)
    masks = {}
    for number in range(ANOMALIES):
        box = np.s_[number : number + 4, number : number + 2]
        images[NORMALS + number][box] = 255
        if number:
            mask = np.zeros((16, 16), np.uint8)
            mask[box] = 255
            masks[NORMALS + number] = [save(tmp_path / f"{number}.png", mask)]
    labels = np.repeat([0, 1], [NORMALS, ANOMALIES]).astype(np.int32)
    return Split(images, labels, np.arange(len(labels))), masks


def batches(train, cache_bytes=np.inf, kinds=(), **options):
    split, masks = train
    inputs = training_inputs(split, 16, cache_bytes, masks)
    plan = plan_batches(split, 8, 3, kinds=kinds, horizontal_flip=True)
    return list(training_batches(inputs, plan, **{"epochs": 8, "seed": 0, **options}).as_numpy_iterator())


def test_masks_lie_where_their_images_are_abnormal_mirrored_or_not(train):
    sides = set()
    unknown = 0
    for images, labels, masks in batches(train):
        assert not masks[labels == 0].any()
        for image, mask in zip(images[labels == 1], masks[labels == 1], strict=True):
            if np.isnan(mask).any():
                assert np.isnan(mask).all()
                unknown += 1
                continue
            np.testing.assert_array_equal(mask, image == 1)
            sides.add(bool(mask[:, :8].any()))
    assert sides == {True, False}
    assert unknown


def test_made_anomalies_have_no_mask_and_normal_images_an_empty_one(train):
    for images, labels, masks in batches(train, kinds=("erasure",)):
        known = ~np.isnan(masks).any(axis=(1, 2, 3))
        assert known[labels == 0].all()
        np.testing.assert_array_equal(
            masks[known], np.where(labels[known, None, None, None] == 1, images[known] == 1, 0)
        )
        assert not known.all()


@pytest.mark.parametrize("images_fit", [True, False])
def test_masks_that_are_not_kept_in_memory_are_the_same(train, images_fit):
    of_images = (NORMALS + ANOMALIES) * 16 * 16 * 4
    kept, read = batches(train), batches(train, cache_bytes=of_images + 1 if images_fit else 0)
    for expected, found in zip(kept, read, strict=True):
        for each, other in zip(expected, found, strict=True):
            np.testing.assert_array_equal(each, other)


def test_a_run_that_goes_on_sees_the_masks_of_an_unbroken_one(train):
    unbroken, gone_on = batches(train), batches(train, first_epoch=1, first_step=1)
    steps = len(unbroken) // 8
    for expected, found in zip(unbroken[steps + 1 :], gone_on, strict=True):
        np.testing.assert_array_equal(expected[2], found[2])


def test_without_masks_batches_are_pairs(train):
    assert {len(batch) for batch in batches((train[0], {}))} == {2}
