import numpy as np
import pytest

from agad_tf.data.splits import Split
from agad_tf.evaluation.error_maps import error_map_scale, localization_metrics
from agad_tf.evaluation.localization import smoothed_error_maps


def test_the_scale_is_twice_the_usual_largest_error_of_normal_images(build_model, task):
    model = build_model(compiled=False)
    inputs = task.validation.of_label(0).images.astype(np.float32) / 127.5 - 1
    largest = smoothed_error_maps(inputs, model(inputs)).numpy().max(axis=(1, 2))
    expected = np.clip(2 * np.median(largest), 1, 255)
    assert error_map_scale(model, task.validation) == pytest.approx(expected, rel=1e-4)


def test_without_masks_there_are_no_figures_of_localization(build_model, task):
    assert localization_metrics(build_model(compiled=False), task.test, {}) == {}


def test_images_without_contrast_have_a_scale_that_can_be_divided_by(build_model):
    grey = Split(np.full((2, 16, 16, 1), 127, np.uint8), np.zeros(2, np.int32), np.arange(2))
    assert 1 <= error_map_scale(build_model(compiled=False), grey) <= 255
