"""Ground-truth masks: their files and their content.

Layouts of MVTec AD (`ground_truth/<defect>/<name>_mask.png`), MVTec LOCO (a folder for each image, with a mask for each
defect), BTAD (`ground_truth/ko/<name>.png` or `.bmp`) and VisA (`Masks/Anomaly/<name>.png`).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from agad_tf.config.errors import RunError
from agad_tf.data.crops import LEAST_COVER
from agad_tf.data.images_in_files import pictures_below, read_file
from agad_tf.data.preprocessing import ImageSize, resized, sides_of
from agad_tf.data.readers import decode_values

# Suffixes of a mask's name after that of its image; the first that exists is used.
_ENDINGS = ("_mask", "", "-mask", "_gt", "_label", "_seg", "_segmentation", "_groundtruth", "_ground_truth")
# The same for a mask beside its image; fewer, so that no image is mistaken for a mask.
_ENDINGS_BESIDE = ("_mask", "-mask", "_gt")
# Their compression turns black into dark grey.
_LOSSY_SUFFIXES = (".jpg", ".jpeg", ".webp")

Place = tuple[tuple[str, ...], str]


def masks_of(folder: Path, images: Sequence[Path], before: Sequence[Path] = ()) -> dict[Path, tuple[Path, ...]]:
    """Finds the masks of images; a mask that matches several images is not used.

    Args:
        folder: of the masks.
        images: each below the folder of its part, such as `scratch/000.png` for `test/scratch/000.png`.
        before: images of another part, of the same form; a mask that fits one of them is not that of `images`.

    Returns:
        The masks by image: from the folder of the same name, or directly from that of the class if no other image of
        the class has the same name without its extension.
    """
    found: dict[Place, list[Path]] = defaultdict(list)
    for mask in pictures_below(folder):
        inside = mask.relative_to(folder)
        found[_place(inside.parts[:-1], inside.stem)].append(mask)
        # A folder for each image.
        if len(inside.parts) > 1:
            found[_place((*inside.parts[:-2], "<all in>"), inside.parts[-2])].append(mask)
    own = _fitting(found, images)
    claims: dict[Path, int] = defaultdict(int)
    for mask in chain.from_iterable((*own.values(), *_fitting(found, before).values())):
        claims[mask] += 1
    return {image: masks for image, masks in own.items() if masks and all(claims[mask] == 1 for mask in masks)}


def masks_beside(images: Sequence[Path]) -> dict[Path, Path]:
    """Finds masks beside their images, by the image's name and a suffix.

    Args:
        images: all files that may be images or masks.

    Returns:
        The mask by image.
    """
    by_place = {_place(image.parts[:-1], image.stem): image for image in images}
    found = {}
    for image in images:
        for ending in _ENDINGS_BESIDE:
            mask = by_place.get(_place(image.parts[:-1], image.stem + ending))
            if mask is not None and image not in found:
                found[image] = mask
    return found


def _fitting(found: Mapping[Place, list[Path]], images: Sequence[Path]) -> dict[Path, tuple[Path, ...]]:
    """The masks that have an image's name, by image."""
    own = {image: _first(found, image.parts[:-1], image.stem) for image in images}
    by_class: dict[Place, list[Path]] = defaultdict(list)
    for image in images:
        by_class[_place(image.parts[:1], image.stem)].append(image)
    for same in by_class.values():
        if len(same) == 1 and not own[same[0]]:
            own[same[0]] = _first(found, same[0].parts[:1], same[0].stem)
    return own


def _place(folders: Iterable[str], stem: str) -> Place:
    return tuple(name.lower() for name in folders), stem.lower()


def _first(found: Mapping[Place, list[Path]], folders: tuple[str, ...], stem: str) -> tuple[Path, ...]:
    for ending in _ENDINGS:
        for place in (_place(folders, stem + ending), _place((*folders, "<all in>"), stem + ending)):
            if place in found:
                return tuple(found[place])
    return ()


def read_masks(files: Iterable[Path]) -> np.ndarray:
    """Where an image is abnormal, according to any of its masks.

    Args:
        files: the masks of one image, at least one. Pixels that are not black are abnormal; in lossy files, pixels
            brighter than half of the maximum.

    Returns:
        bool (height, width).

    Raises:
        RunError: one cannot be read, or they differ in size.
    """
    together: np.ndarray | None = None
    for file in files:
        values = decode_values(str(file), read_file(str(file)))
        darkest = values.max() / 2 if file.suffix.lower() in _LOSSY_SUFFIXES else 0
        mask = values > darkest
        if together is not None and together.shape != mask.shape:
            raise RunError(f"{file} is a mask with another size than the image's other masks; correct or remove it.")
        together = mask if together is None else together | mask
    if together is None:
        raise ValueError("Give at least one mask.")
    return together


def masks_at_size(masks: Iterable[Sequence[Path]], image_size: ImageSize) -> np.ndarray:
    """Masks of several images, resized as their images are.

    Args:
        masks: the files of each image; none if only the image's label is known.
        image_size: side, or height and width, in pixels.

    Returns:
        float32 (images, height, width, 1): 1 where a pixel is abnormal, else 0. A smaller mask keeps its flaw, however
        small that is. NaN in all of an image without a mask, or with one that shows nothing.

    Raises:
        RunError: a mask cannot be read, or those of an image differ in size.
    """
    return np.stack([_mask_at_size(files, image_size) for files in masks])


def _mask_at_size(files: Sequence[Path], image_size: ImageSize) -> np.ndarray:
    mask = read_masks(files) if files else np.zeros((1, 1), bool)
    if not mask.any():
        return np.full((*sides_of(image_size), 1), np.nan, np.float32)
    cover = resized(mask[np.newaxis, ..., np.newaxis], image_size)[0].numpy()
    return (cover >= min(LEAST_COVER, cover.max())).astype(np.float32)
