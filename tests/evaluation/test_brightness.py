import numpy as np
import pytest

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
    flawed[:, 0, 0], flawed[:, 1, 1] = 0, 200
    assert brightness_auroc(normal, flawed) == 0.5


@pytest.mark.parametrize("normals", [0, 2])
def test_an_empty_set_is_refused(normals):
    with pytest.raises(ValueError, match=f"received {normals} and {2 - normals}"):
        brightness_auroc(images_of([10] * normals), images_of([10] * (2 - normals)))


def test_users_are_warned_above_nine_tenths_only():
    assert brightness_warning(0.9) is None
    assert "95.5 %" in brightness_warning(0.955)
