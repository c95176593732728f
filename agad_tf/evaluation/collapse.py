"""Whether generator and discriminator still learn from each other, judged by normal validation images."""

import math
from collections.abc import Mapping

import numpy as np
from sklearn.metrics import roc_auc_score

# If reconstructions vary less than this share of the images' variation, they count as one image.
CONSTANT = 0.05
# A discriminator whose accuracy is this close to 0.5 or to 1 teaches the generator nothing.
DECIDED = 0.005
# AUROC of pseudo-anomalies: 0.5 and a margin.
CHANCE = 0.55


def collapse_figures(
    images: np.ndarray,
    reconstruction: np.ndarray,
    scores: np.ndarray,
    scores_of_pseudo_anomalies: np.ndarray,
    logits: np.ndarray,
    logits_of_pseudo_anomalies: np.ndarray,
) -> dict[str, float]:
    """Measures how well the networks still distinguish images.

    Args:
        images: normal ones, float (images, height, width, channels) in [-1, 1].
        reconstruction: x̂ = G(x) of them, the pseudo-anomalies.
        scores: A(x), float (images,).
        scores_of_pseudo_anomalies: A(x̂).
        logits: D's logits for x, above 0 for real; any shape.
        logits_of_pseudo_anomalies: D's logits for x̂.

    Returns:
        "validation_reconstruction_spread": standard deviation of reconstructions from image to image, as a share of
        that of the images, 1 if all images are alike; "validation_discriminator_accuracy": share of images and
        pseudo-anomalies that D classifies correctly; "validation_pseudo_anomaly_auroc": of the scores, with
        pseudo-anomalies as the abnormal images.
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
    """Signs in an epoch's figures that adversarial training has collapsed, a sentence each.

    Args:
        figures: of `collapse_figures`, all or some of them.
    """
    signs = []
    if (spread := figures.get("validation_reconstruction_spread", 1.0)) < CONSTANT:
        signs.append(
            f"the generator draws nearly the same image for every input (its images vary {100 * spread:.1f} % as much "
            "as the inputs); train for more --epochs or with another --learning_rate."
        )
    accuracy = figures.get("validation_discriminator_accuracy", math.nan)
    if accuracy > 1 - DECIDED:
        signs.append(
            f"the discriminator classifies {100 * accuracy:.1f} % of images and reconstructions correctly, so the "
            "generator learns nothing from it; raise --reinit_threshold or lower --learning_rate."
        )
    if abs(accuracy - 0.5) < DECIDED:
        signs.append(
            f"the discriminator classifies {100 * accuracy:.1f} % of images and reconstructions correctly, no more "
            "than by chance, so the generator learns nothing from it."
        )
    if (auroc := figures.get("validation_pseudo_anomaly_auroc", 1.0)) < CHANCE:
        signs.append(
            f"pseudo-anomalies score no higher than the images they were made from (AUROC {100 * auroc:.1f} %): "
            "contextual adversarial information has had no effect; train for more --epochs or raise --lambda_adcon."
        )
    return signs
