import numpy as np
import pytest
from PIL import Image

from agad_tf.data.images_in_files import Pictures
from agad_tf.data.splits import OneClassTask, Split
from agad_tf.evaluation.brightness import brightness_auroc, brightness_warning


def images_of(greys, size=(4, 4, 1)):
    return np.ones((len(greys), *size), np.uint8) * np.uint8(greys)[:, None, None, None]


@pytest.mark.parametrize("brighter", [False, True])
def test_sets_of_other_brightness_are_told_apart_whichever_is_brighter(brighter):
    dark, bright = images_of([10, 20, 30]), images_of([40, 50], size=(6, 2, 3))
    assert brightness_auroc(*((dark, bright) if brighter else (bright, dark))) == 1


def test_sets_of_one_brightness_are_not_told_apart():
    assert brightness_auroc(images_of([10, 20, 30]), images_of([10, 20, 30])) == 0.5


def test_in_between_it_is_the_share_of_pairs_in_order():
    assert brightness_auroc(images_of([10, 30]), images_of([20, 40])) == 0.75
    assert brightness_auroc(images_of([20, 40]), images_of([10, 30])) == 0.75


def test_it_is_the_mean_of_an_image_that_counts_and_not_a_flaw_in_it():
    normal = images_of([100] * 4)
    flawed = normal.copy()
    flawed[:, 0, 0], flawed[:, 1, 1] = 70, 130
    assert brightness_auroc(normal, flawed) == 0.5


@pytest.mark.parametrize("normals", [0, 2])
def test_an_empty_set_is_refused(normals):
    with pytest.raises(ValueError, match=f"received {normals} and {2 - normals}"):
        brightness_auroc(images_of([10] * normals), images_of([10] * (2 - normals)))


def split_of(normal, abnormal):
    images = images_of([*normal, *abnormal])
    return Split(images, np.repeat([0, 1], [len(normal), len(abnormal)]).astype(np.int32), np.arange(len(images)))


def task_of(validation, test):
    return OneClassTask(train=split_of([0], []), validation=split_of(*validation), test=split_of(*test))


EVEN = range(0, 200, 10), range(5, 205, 10)
DARK_AND_BRIGHT = range(10), range(10, 20)
ALMOST = [*range(9), 30], [*range(10, 19), 0]  # AUROC 0.81 or more, yet not above 0.9


def test_users_are_warned_of_validation_images_that_brightness_tells_apart():
    assert "abnormal validation images with an AUROC of 100.0 %" in brightness_warning(task_of(DARK_AND_BRIGHT, EVEN))
    assert brightness_warning(task_of(EVEN, DARK_AND_BRIGHT)) is None
    assert brightness_warning(task_of(ALMOST, EVEN)) is None


@pytest.mark.parametrize("validation", [(range(10), []), (range(10), range(20, 24))], ids=["none", "four"])
def test_with_too_few_validation_images_of_a_kind_it_is_the_test_images(validation):
    assert "abnormal test images" in brightness_warning(task_of(validation, DARK_AND_BRIGHT))
    assert brightness_warning(task_of(validation, EVEN)) is None


def test_without_enough_of_both_kinds_nothing_is_said():
    assert brightness_warning(task_of((range(10), []), (range(10), range(20, 24)))) is None


def test_images_in_files_are_looked_at_as_those_in_memory(tmp_path):
    for number, grey in enumerate([10, 20, 30, 40]):
        Image.fromarray(np.full((5, 7), grey, np.uint8)).save(tmp_path / f"{number}.png")
    pictures = Pictures([str(tmp_path / f"{number}.png") for number in (0, 2, 1, 3)], 1, 16)
    assert brightness_auroc(pictures[:2], pictures[2:]) == 0.75
