"""Windows of large images, which training sees in place of whole ones."""

import numpy as np
import pytest
from PIL import Image

from agad_tf.data.splits import Split
from agad_tf.data.training_inputs import training_inputs
from agad_tf.data.training_windows import plan_windows, window_of
from agad_tf.models.segmenting_agad import SegmentingAGAD
from agad_tf.networks import build_discriminator, build_generator

SIZE, WINDOW = (48, 64), (16, 32)


@pytest.mark.parametrize(
    ("image", "window"),
    [((3008, 4000), (256, 256)), ((1024, 1024), None), ((1040, 1024), (256, 256)), ((160, 8000), (160, 256))],
)
def test_large_images_are_cut_into_what_the_coarsest_scale_shows(image, window):
    assert window_of(image, (64, 64), 4) == window


@pytest.fixture
def train():
    """Three normal images and two abnormal ones, of noise, so that each part is found in one place alone."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, *SIZE, 1), np.uint8)
    return Split(pixels, np.array([0, 0, 0, 1, 1], np.int32), np.arange(5))


@pytest.fixture
def masks(tmp_path):
    """Of the first abnormal image, whose flaw is one pixel."""
    mask = np.zeros(SIZE, np.uint8)
    mask[40, 5] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return {3: (tmp_path / "mask.png",)}


def test_windows_are_parts_of_their_images(train, masks):
    inputs = training_inputs(train, SIZE, masks=masks, window=WINDOW)
    per_image = inputs.normals // 3
    plan = plan_windows(3, [masks[3], ()], SIZE, WINDOW, 0)
    rows = np.arange(inputs.normals + inputs.anomalies)
    assert len(rows) == 5 * per_image == 5 * 2 * 6
    for row, window in zip(rows, inputs.of_rows(rows).numpy(), strict=True):
        top, left = plan.corners[row]
        part = train.images[row // per_image][top : top + WINDOW[0], left : left + WINDOW[1]]
        np.testing.assert_allclose((window + 1) * 127.5, part, atol=1e-3)


def test_images_that_are_read_for_each_batch_give_the_same_windows(train, masks):
    rows = np.array([59, 3, 40, 4])
    cached, read = (training_inputs(train, SIZE, size, masks, WINDOW, 7).of_rows(rows) for size in (2**30, 0))
    np.testing.assert_array_equal(cached, read)
    other = training_inputs(train, SIZE, 0, masks, WINDOW, 8).of_rows(rows)
    assert (other != read).numpy().any()


def test_masks_are_cut_as_their_images_are_and_every_other_window_shows_the_flaw(train, masks):
    inputs = training_inputs(train, SIZE, masks=masks, window=WINDOW)
    found = inputs.masks_of(np.arange(inputs.anomalies)).numpy()
    of_first, of_second = np.split(found, 2)
    assert np.isnan(of_second).all()
    assert (of_first[::2].sum(axis=(1, 2, 3)) == 1).all()
    corners = plan_windows(3, [masks[3], ()], SIZE, WINDOW, 0).corners[inputs.normals :][: len(of_first)]
    for (top, left), mask in zip(corners[::2], of_first[::2, ..., 0], strict=True):
        assert np.argwhere(mask == 1).tolist() == [[40 - top, 5 - left]]


def test_many_images_have_fewer_windows_each():
    assert plan_windows(300, [], (3008, 4000), (256, 256), 0).per_image == 13
    assert plan_windows(10_000, [], (3008, 4000), (256, 256), 0).per_image == 1


def test_whole_images_are_there_to_be_looked_at(train):
    inputs = training_inputs(train, SIZE, window=WINDOW)
    assert inputs.whole.normals == 3
    np.testing.assert_allclose((inputs.whole.of_rows(np.array([2]))[0] + 1) * 127.5, train.images[2], atol=1e-3)
    assert training_inputs(train, SIZE).whole is None


def test_a_step_of_large_images_takes_crops_of_windows_at_all_scales():
    network = ((32, 32, 1), 1 / 16, "batch", 0)
    networks = build_generator("unet", *network), build_discriminator(*network)
    model = SegmentingAGAD(*networks, scoring_shape=(1056, 1040, 1), scales=(1, 2, 4))
    model.compile()
    assert model.training_window == (128, 128)
    windows = np.random.default_rng(0).random((4, 128, 128, 1), np.float32)
    altered, labels, images, masks = model.read_batch((windows, np.zeros(4, np.float32)))
    assert altered.shape == images.shape == masks.shape == (4, 32, 32, 1)
    assert labels.numpy().tolist() == [0] * 4
