"""Whether generator and discriminator still learn from each other, judged by normal validation images."""

import math
from collections.abc import Mapping

import numpy as np
from sklearn.metrics import roc_auc_score

# Below this share of the images' spread reconstructions are one image.
CONSTANT = 0.05
# A discriminator whose accuracy is so near to a half, or to 1, is no opponent.
DECIDED = 0.005
# AUROC of pseudo-anomalies: half, and a margin.
CHANCE = 0.55


def collapse_figures(
    images: np.ndarray,
    reconstruction: np.ndarray,
    scores: np.ndarray,
    scores_of_pseudo_anomalies: np.ndarray,
    logits: np.ndarray,
    logits_of_pseudo_anomalies: np.ndarray,
) -> dict[str, float]:
    """Measures how far the networks still tell images apart.

    Args:
        images: normal ones, float (images, height, width, channels) in [-1, 1].
        reconstruction: x̂ = G(x) of them, the pseudo-anomalies.
        scores: A(x), float (images,).
        scores_of_pseudo_anomalies: A(x̂).
        logits: what D says of x, above 0 real; any shape.
        logits_of_pseudo_anomalies: what D says of x̂.

    Returns:
        "validation_reconstruction_spread": standard deviation of reconstructions from image to image, as a share of
        that of the images, which is 1 where all are alike; "validation_discriminator_accuracy": share of images and
        pseudo-anomalies that D tells right; "validation_pseudo_anomaly_auroc": of scores, pseudo-anomalies being the
        abnormal ones.
    """
    spread = images.std(axis=0).mean()
    labels = np.repeat([0, 1], len(scores))
    all_scores = np.concatenate([scores, scores_of_pseudo_anomalies])
    return {
        "validation_reconstruction_spread": float(reconstruction.std(axis=0).mean() / spread) if spread else 1.0,
        "validation_discriminator_accuracy": float((logits > 0).mean() + (logits_of_pseudo_anomalies <= 0).mean()) / 2,
        "validation_pseudo_anomaly_auroc": (
            float(roc_auc_score(labels, all_scores)) if np.isfinite(all_scores).all() else math.nan
        ),
    }


def collapse_signs(figures: Mapping[str, float]) -> list[str]:
    """What of the figures of an epoch says that adversarial training has collapsed, each in a sentence.

    Args:
        figures: of `collapse_figures`, all or some of them.
    """
    signs = []
    if (spread := figures.get("validation_reconstruction_spread", 1.0)) < CONSTANT:
        signs.append(
            f"the generator draws nearly the same image whatever it is shown (they differ {100 * spread:.1f} % as "
            "much as the images); train for more --epochs or with another --learning_rate."
        )
    accuracy = figures.get("validation_discriminator_accuracy", math.nan)
    if accuracy > 1 - DECIDED:
        signs.append(
            f"the discriminator tells {100 * accuracy:.1f} % of images and reconstructions right, which leaves the "
            "generator nothing to learn from it; raise --reinit_threshold or lower --learning_rate."
        )
    if abs(accuracy - 0.5) < DECIDED:
        signs.append(
            f"the discriminator tells {100 * accuracy:.1f} % of images and reconstructions right, no more than a coin "
            "would; its share of the losses teaches the generator nothing."
        )
    if (auroc := figures.get("validation_pseudo_anomaly_auroc", 1.0)) < CHANCE:
        signs.append(
            f"pseudo-anomalies score no higher than the images they were made from (AUROC {100 * auroc:.1f} %): "
            "contextual adversarial information has had no effect; train for more --epochs or raise --lambda_adcon."
        )
    return signs
