"""How far the brightness of whole images alone tells normal from abnormal ones.

Where it does, a good figure may say how the images were taken and not whether a detector finds flaws.
"""

import numpy as np
from sklearn.metrics import roc_auc_score

# Above this a user should know.
SUSPICIOUS_AUROC = 0.9


def brightness_auroc(normal_images: np.ndarray, abnormal_images: np.ndarray) -> float:
    """AUROC of mean grey, whichever of the two is brighter.

    Args:
        normal_images: uint8 or float (images, height, width, channels), of any range.
        abnormal_images: of the same range; their size may differ.

    Returns:
        A fraction in [0.5, 1]: 0.5 where mean grey tells nothing, 1 where it tells all.

    Raises:
        ValueError: a set is empty.
    """
    if not len(normal_images) or not len(abnormal_images):
        raise ValueError(
            "Brightness is compared between normal and abnormal images, at least one of each; "
            f"received {len(normal_images)} and {len(abnormal_images)}."
        )
    # One image at a time: a set may be in files, and larger than memory.
    greys = [float(np.mean(image, dtype=np.float64)) for images in (normal_images, abnormal_images) for image in images]
    labels = np.repeat([0, 1], [len(normal_images), len(abnormal_images)])
    auroc = float(roc_auc_score(labels, greys))
    return max(auroc, 1 - auroc)


def brightness_warning(auroc: float) -> str | None:
    """A sentence for users whose sets differ in brightness, or None where there is nothing to warn of.

    Args:
        auroc: of `brightness_auroc`.
    """
    if auroc <= SUSPICIOUS_AUROC:
        return None
    return (
        f"Mean brightness alone tells normal from abnormal images with an AUROC of {100 * auroc:.1f} %: "
        "a detector may go by how the images were lit and not by their flaws. "
        "Compare images taken under the same light, or let the light vary in training."
    )
