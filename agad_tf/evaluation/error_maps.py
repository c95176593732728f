"""Error maps of a model: how well they agree with masks, and the scale they are drawn by."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from agad_tf.data.images_in_files import Images, Pictures, read_picture
from agad_tf.data.masks import read_masks
from agad_tf.data.scoring_batches import scoring_batches
from agad_tf.data.splits import NORMAL, Split
from agad_tf.evaluation.localization import PixelMetrics, at_size, has_deviation_maps, scores_and_error_maps
from agad_tf.models.agad import AGAD

# This many validation images are used to find the errors of normal images.
SCALE_IMAGES = 256


def localization_metrics(model: AGAD, test: Split, masks: Mapping[int, tuple[Path, ...]]) -> dict[str, float]:
    """Measures how well error maps agree with the masks of a test set, at the images' own size.

    Args:
        model: the detector.
        test: the test set.
        masks: files of the masks by position in the test set; empty means none.

    Returns:
        See `PixelMetrics.result`. Abnormal images without a mask are left out.
    """
    if not masks or not isinstance(test.images, Pictures):
        return {}
    metrics = PixelMetrics()
    known = (test.labels == NORMAL) | np.isin(test.ids, list(masks))
    images = test.images[known]
    maps = tqdm(_error_maps(model, images), "comparing with masks", len(images), delay=1, leave=False, disable=None)
    for row, path, error_map in zip(test.ids[known], images.paths, maps, strict=True):
        mask = read_masks(masks[row]) if row in masks else np.zeros(read_picture(path, channels=1).shape[:2], bool)
        own_size = at_size(error_map, *mask.shape)
        metrics.add(_in_pixel_values(own_size) if has_deviation_maps(model) else own_size, mask)
    return metrics.result()


def _in_pixel_values(error_map: np.ndarray) -> np.ndarray:
    """Maps deviations of any size to [0, 255], as `PixelMetrics` needs them, and keeps their order."""
    return 255 * (0.5 + np.arctan(error_map / 4) / np.pi)


def error_map_scale(model: AGAD, validation: Split) -> float:
    """The error from which error maps show the brightest colour.

    Args:
        model: the detector.
        validation: the validation images, of which the normal ones are used.

    Returns:
        Twice the median, over normal images, of the highest value of their maps, in [1, 255].
    """
    normals = validation.of_label(NORMAL).images[:SCALE_IMAGES]
    largest = [float(error_map.max()) for error_map in _error_maps(model, normals)]
    return float(np.clip(2 * np.median(largest), 1.0, 255.0))


def _error_maps(model: AGAD, images: Images) -> Iterator[np.ndarray]:
    look = tf.function(partial(scores_and_error_maps, model), reduce_retracing=True, autograph=False)
    for inputs in scoring_batches(images, model.scoring_size):
        yield from look(inputs)[1].numpy()
