import numpy as np
import pytest
from PIL import Image

from agad_tf.data.image_size import with_image_size
from agad_tf.data.images_in_files import Pictures
from agad_tf.data.sources import Source


@pytest.fixture
def source(tmp_path):
    for number in range(3):
        Image.new("L", (100, 60)).save(tmp_path / f"{number}.png")
    files = Pictures([str(path) for path in sorted(tmp_path.iterdir())], 1, 32)
    labels = np.zeros(3, np.int64)
    return Source("folder", files, labels, files, labels, "here")


@pytest.mark.parametrize(
    ("image_size", "keep_shape", "expected"),
    [
        (32, False, (32, 32)),
        (48, True, (32, 48)),
        (256, True, (64, 96)),
        ("native", False, (64, 96)),
        ("48x32", True, (48, 32)),
    ],
)
def test_a_set_gets_the_size_that_is_asked_for(source, image_size, keep_shape, expected):
    sized = with_image_size(source, image_size, keep_shape)
    assert sized.image_size == expected
    assert sized.x_train.shape == (3, *expected, 1)
    assert np.asarray(sized.x_test[:1]).shape == (1, *expected, 1)
