"""A few large test images: image, restored image, error map and ground truth side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
import tensorflow as tf
from PIL import Image

from agad_tf.data.images_in_files import Images
from agad_tf.data.masks import read_masks
from agad_tf.data.preprocessing import to_network_input, to_uint8
from agad_tf.data.scoring_batches import images_at_a_time
from agad_tf.data.splits import ABNORMAL, NORMAL
from agad_tf.evaluation.localization import at_size, has_deviation_maps, scores_and_maps
from agad_tf.models.agad import AGAD
from agad_tf.reporting.pages import jpeg_uri, png_uri

ERROR_COLORS = "magma"
FOUND_SHOWN, NORMALS_SHOWN = 3, 2
# Sides in pixels: smaller images are enlarged, and larger ones are shrunk.
LEAST_SIDE, LONGEST_SIDE = 192, 384


class Look(NamedTuple):
    """Reconstructions and error map of an image; sides are at most `LONGEST_SIDE`.

    Attributes:
        image: x, uint8 (height, width, channels).
        reconstruction: G(x), of the same shape.
        re_reconstruction: G(G(x)), of the same shape.
        error: the error map, float32 (height, width), from 0 on: shares of the range of pixel values, or deviations.
        largest_error: highest value of the error map before it was shrunk.
    """

    image: np.ndarray
    reconstruction: np.ndarray
    re_reconstruction: np.ndarray
    error: np.ndarray
    largest_error: float


def look_at(model: AGAD, images: Images) -> list[Look]:
    """Looks at images, a few at a time, so that memory does not grow with their number.

    Args:
        model: the detector.
        images: uint8 (images, height, width, channels), in memory or in files.

    Returns:
        A `Look` for each image.
    """
    together = images_at_a_time(model.scoring_size)
    looks = []
    for start in range(0, len(images), together):
        inputs = to_network_input(np.asarray(images[start : start + together]), model.scoring_size)
        reconstruction, _, maps = scores_and_maps(model, inputs)
        errors = np.maximum(maps.numpy(), 0) / (1 if has_deviation_maps(model) else 255)
        faces: Sequence[tf.Tensor] = (inputs, reconstruction, model(reconstruction, training=False))
        for *pixels, error in zip(*(to_uint8(each) for each in faces), errors, strict=True):
            height, width = _shown_size(error.shape)
            image, once, twice = (_resized(each, height, width) for each in pixels)
            looks.append(Look(image, once, twice, at_size(error, height, width), float(error.max())))
    return looks


def strip_rows(test: pd.DataFrame) -> pd.DataFrame:
    """Chooses test images to show enlarged.

    Args:
        test: "label", "class", "score" and "flagged" of each image, by its place in the test set.

    Returns:
        The anomalies with the highest scores, from different classes if possible; the missed anomaly with the lowest
        score; the false alarm with the highest; and normal images that are not flagged. The column "why" says what each
        is an example of.
    """
    ordered = test.sort_values("score", ascending=False, kind="stable")
    abnormal, normal = (ordered[ordered["label"] == label] for label in (ABNORMAL, NORMAL))
    found, quiet = abnormal[abnormal["flagged"]], normal[~normal["flagged"]]
    turns = found.groupby("class").cumcount().sort_values(kind="stable").index
    # Not the images with the lowest and highest scores, if there are others.
    ranks = np.linspace(0, max(len(quiet) - 1, 0), NORMALS_SHOWN + 2).round().astype(int)[1:-1]
    chosen = {
        "Found anomaly": found.loc[turns[:FOUND_SHOWN]],
        "Missed anomaly": abnormal[~abnormal["flagged"]][-1:],
        "False alarm": normal[normal["flagged"]][:1],
        "Normal image": quiet.iloc[np.unique(ranks)] if len(quiet) else quiet,
    }
    return pd.concat([rows.assign(why=why) for why, rows in chosen.items()])


def strip_pictures(look: Look, largest_error: float, masks: Sequence[Path]) -> dict[str, str]:
    """The images of a row.

    Args:
        look: of the image, by `look_at`.
        largest_error: the error from which error maps show the brightest colour.
        masks: files of its ground truth; may be empty.

    Returns:
        `data:` URIs by their names: "image", "restored", "error map" and, with masks, "ground truth".
    """
    pictures = {
        "image": jpeg_uri(_enlarged(look.image)),
        "restored": jpeg_uri(_enlarged(look.reconstruction)),
        "error map": png_uri(_enlarged(in_colors(look.error, largest_error)), LONGEST_SIDE),
    }
    if masks:
        mask = _resized(255 * read_masks(masks)[..., np.newaxis].astype(np.uint8), *look.error.shape)
        pictures["ground truth"] = png_uri(_enlarged(mask), LONGEST_SIDE)
    return pictures


def in_colors(error: np.ndarray, largest_error: float) -> np.ndarray:
    """An error map, float (…) from 0 to `largest_error`, as RGB, uint8 (…, 3)."""
    shares = error / max(largest_error, np.finfo(np.float32).tiny)
    return mpl.colormaps[ERROR_COLORS](shares, bytes=True)[..., :3]


def _shown_size(shape: tuple[int, ...]) -> tuple[int, int]:
    shrink = min(1.0, LONGEST_SIDE / max(shape))
    return max(1, round(shape[0] * shrink)), max(1, round(shape[1] * shrink))


def _resized(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    if pixels.shape[:2] == (height, width):
        return pixels
    channels = [Image.fromarray(pixels[..., place]) for place in range(pixels.shape[-1])]
    return np.stack([np.asarray(each.resize((width, height), Image.Resampling.BILINEAR)) for each in channels], axis=-1)


def _enlarged(pixels: np.ndarray) -> np.ndarray:
    """Enlarges small images by a whole factor, so that their pixels stay sharp."""
    factor = -(-LEAST_SIDE // max(pixels.shape[:2]))
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)
