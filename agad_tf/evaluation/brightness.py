"""Whether mean brightness alone separates normal from abnormal images.

If it does, a high AUROC may reflect how the images were taken, not whether the detector finds flaws.
"""

import numpy as np
from sklearn.metrics import roc_auc_score

from agad_tf.data.images_in_files import Images
from agad_tf.data.preprocessing import to_uint8
from agad_tf.data.scoring_batches import scoring_batches
from agad_tf.data.splits import ABNORMAL, NORMAL, OneClassTask, Split

# AUROC above which the user is warned.
SUSPICIOUS_AUROC = 0.9
# Fewer images of a kind may differ by chance. From more images, this many are used, spread over all.
LEAST_IMAGES, MOST_IMAGES = 5, 1000


def brightness_warning(task: OneClassTask) -> str | None:
    """A sentence for users whose normal and abnormal images differ in brightness.

    Args:
        task: its validation images are compared, or its test images if there are too few of either kind.

    Returns:
        The sentence, or None where there is nothing to warn of.
    """
    parts = {"validation": task.validation, "test": task.test}
    enough = [name for name, part in parts.items() if min(np.bincount(part.labels, minlength=2)) >= LEAST_IMAGES]
    if not enough:
        return None
    name = enough[0]
    auroc = brightness_auroc(_some(parts[name], NORMAL), _some(parts[name], ABNORMAL))
    if auroc <= SUSPICIOUS_AUROC:
        return None
    return (
        f"Mean brightness alone separates normal from abnormal {name} images with an AUROC of {100 * auroc:.1f} %: the "
        "detector may react to the light and not to flaws. Use images taken under the same light, or vary the light "
        "more in training: --recipe=own_images with a higher --light_variation."
    )


def brightness_auroc(normal_images: Images, abnormal_images: Images) -> float:
    """AUROC of mean brightness; it does not matter which kind is brighter.

    Args:
        normal_images: uint8 (images, height, width, channels), in memory or in files; at least one.
        abnormal_images: as normal_images; their size may differ.

    Returns:
        A fraction in [0.5, 1]: 0.5 if brightness does not separate them, 1 if it separates them completely.

    Raises:
        ValueError: a set is empty.
    """
    if not len(normal_images) or not len(abnormal_images):
        raise ValueError(
            "Brightness is compared between normal and abnormal images and needs at least one of each; received "
            f"{len(normal_images)} and {len(abnormal_images)}."
        )
    greys = [_mean_greys(images) for images in (normal_images, abnormal_images)]
    labels = np.repeat([NORMAL, ABNORMAL], [len(each) for each in greys])
    auroc = float(roc_auc_score(labels, np.concatenate(greys)))
    return max(auroc, 1 - auroc)


def _some(split: Split, label: int) -> Images:
    images = split.of_label(label).images
    return images[:: -(-len(images) // MOST_IMAGES)]


def _mean_greys(images: Images) -> np.ndarray:
    # The mean of whole numbers is exact, so equal means compare as equal.
    batches = scoring_batches(images, images.shape[1:3])
    return np.concatenate([to_uint8(batch).mean(axis=(1, 2, 3), dtype=np.float64) for batch in batches])
