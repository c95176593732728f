"""Where an image is abnormal: error maps, and how well they agree with masks."""

from functools import lru_cache

import numpy as np
import tensorflow as tf
from PIL import Image
from scipy import ndimage
from sklearn.metrics import auc, roc_auc_score

from agad_tf.data.preprocessing import PIXELS_PER_UNIT
from agad_tf.models.agad import AGAD
from agad_tf.models.segmenting_agad import SegmentingAGAD

# σ of the Gaussian that smooths error maps, as a share of the networks' image size: 4 pixels of 256, as is usual on
# MVTec AD.
SMOOTHING = 1 / 64
# The overlap of regions is integrated up to this share of normal pixels, as MVTec AD's authors do.
MOST_FALSE_POSITIVES = 0.3
# Errors lie in [0, 255]; figures are exact to a bin's width.
_BINS = 2**16


def smoothed_error_maps(inputs: tf.Tensor, reconstruction: tf.Tensor) -> tf.Tensor:
    """The error map of each image: |x − G(x)|, mean over channels, smoothed by a Gaussian.

    Every error map that a user sees comes from this function: overlays, pixel metrics, the report and the exported
    detector. Maps are mirrored at their edges, as in SciPy's mode "reflect".

    Args:
        inputs: x, float32 (images, height, width, channels) in [-1, 1]; height and width must be known in a graph.
        reconstruction: G(x), same shape and range.

    Returns:
        float32 (images, height, width), in pixel values, [0, 255].
    """
    errors = tf.reduce_mean(tf.abs(inputs - reconstruction), axis=-1) * PIXELS_PER_UNIT
    height, width = errors.shape[1:]
    sigma = SMOOTHING * height
    # A Gaussian is separable, and along an axis it is a matrix; for one channel a product is faster than a convolution.
    return tf.matmul(tf.matmul(_gaussian(height, sigma), errors), _gaussian(width, sigma), transpose_b=True)


def scores_and_maps(model: AGAD, inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Reconstructions, scores and error maps of images, from one pass.

    Args:
        model: the detector.
        inputs: x, float32 (images, height, width, channels) in [-1, 1].

    Returns:
        Reconstructions G(x), like `inputs`; scores, float32 (images,); and error maps, float32 (images, height, width):
        smoothed errors in pixel values, see `smoothed_error_maps`, or, of a model whose score is the peak of maps, the
        deviation of each pixel from normal images.
    """
    if isinstance(model, SegmentingAGAD):
        return model.reconstruct_score_and_map(inputs)
    reconstruction, scores = model.reconstruct_and_score(inputs)
    return reconstruction, scores, smoothed_error_maps(inputs, reconstruction)


def scores_and_error_maps(model: AGAD, inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """As `scores_and_maps`, without the reconstructions: large images take less memory."""
    if isinstance(model, SegmentingAGAD):
        return model.score_and_map(inputs)
    return scores_and_maps(model, inputs)[1:]


def has_deviation_maps(model: AGAD) -> bool:
    """Whether a model's error maps are deviations from normal images; otherwise they are errors in pixel values."""
    return isinstance(model, SegmentingAGAD)


@lru_cache
def _gaussian(size: int, sigma: float) -> tf.Tensor:
    """The matrix that smooths a column of `size` pixels, float32 (size, size): SciPy's filter of each unit vector."""
    smooth = ndimage.gaussian_filter1d(np.eye(size), sigma, axis=0)
    # Outside the current graph, so that an exported detector holds it once, not in each of its functions.
    with tf.init_scope():
        return tf.constant(smooth, tf.float32)


def at_size(error_map: np.ndarray, height: int, width: int) -> np.ndarray:
    """An error map at an image's own size.

    Args:
        error_map: float32 (image_size, image_size).
        height: of the image, in pixels.
        width: of the image, in pixels.

    Returns:
        float32 (height, width), interpolated linearly.
    """
    return np.asarray(Image.fromarray(error_map).resize((width, height), Image.Resampling.BILINEAR))


class PixelMetrics:
    """Measures, image by image, how well error maps separate abnormal from normal pixels; memory does not grow."""

    def __init__(self) -> None:
        self._normal, self._abnormal, self._overlap = np.zeros((3, _BINS))
        self._regions = 0

    def add(self, error_map: np.ndarray, mask: np.ndarray) -> None:
        """Adds an image.

        Args:
            error_map: float32 (height, width), in [0, 255].
            mask: bool (height, width), true where the image is abnormal.
        """
        bins = np.minimum(error_map * (_BINS / 256), _BINS - 1).astype(np.int64)
        self._normal += np.bincount(bins[~mask], minlength=_BINS)
        self._abnormal += np.bincount(bins[mask], minlength=_BINS)
        # Pixels that touch at a corner belong to one region.
        regions, count = ndimage.label(mask, np.ones((3, 3)))
        for region in range(1, count + 1):
            found = bins[regions == region]
            self._overlap += np.bincount(found, minlength=_BINS) / len(found)
        self._regions += count

    def result(self) -> dict[str, float]:
        """Figures over all images.

        Returns:
            As fractions: "pixel_auroc", and "pro", the per-region overlap of Bergmann et al. (2020): the share of an
            abnormal region that is found, averaged over regions of any size and over false positive rates up to 0.3.
            Empty without abnormal or without normal pixels.
        """
        if not self._regions or not self._normal.any():
            return {}
        labels = np.repeat([0, 1], _BINS)
        scores = np.tile(np.arange(_BINS), 2)
        auroc = roc_auc_score(labels, scores, sample_weight=np.concatenate([self._normal, self._abnormal]))
        false_positives = np.concatenate([[0], np.cumsum(self._normal[::-1]) / self._normal.sum()])
        overlap = np.concatenate([[0], np.cumsum(self._overlap[::-1]) / self._regions])
        within = false_positives <= MOST_FALSE_POSITIVES
        at_end = np.interp(MOST_FALSE_POSITIVES, false_positives, overlap)
        area = auc(np.append(false_positives[within], MOST_FALSE_POSITIVES), np.append(overlap[within], at_end))
        return {"pixel_auroc": float(auroc), "pro": float(area / MOST_FALSE_POSITIVES)}
