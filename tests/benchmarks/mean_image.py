"""What the norms of residuals are worth without a network: the mean training image stands for every reconstruction.

python -m tests.benchmarks.mean_image --flagfile=flags/fmnist_best.cfg

Prints the per-image AUROC of the test set for each class as the normal one and each norm. Run by hand.
"""

import dataclasses
import sys
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from agad_tf.config.choices import CLASS_COUNTS
from agad_tf.config.experiment import ExperimentConfig
from agad_tf.data.preprocessing import to_network_input
from agad_tf.data.training_inputs import training_inputs
from agad_tf.models.scores import (
    combined_norm,
    fit_mahalanobis,
    mahalanobis_norm,
    reconstruction_norm,
    residual_features,
    smoothed_norm,
)
from agad_tf.training.images import load_images
from agad_tf.training.normal_residuals import NormalResiduals
from tests.benchmarks.run_flags import read_flags


def auroc_by_norm(config: ExperimentConfig) -> dict[str, float]:
    """AUROC in % of the test set, by norm of residuals."""
    _, task = load_images(config)
    inputs = training_inputs(task.train, config.image_size)
    normal = inputs.of_rows(np.arange(inputs.normals))
    mean = tf.reduce_mean(normal, axis=0, keepdims=True)
    statistics = fit_mahalanobis(np.array(residual_features(normal[: NormalResiduals.IMAGES], mean)))
    images = to_network_input(task.test.images, config.image_size)
    scores = {
        "euclidean": reconstruction_norm(images, mean),
        "smoothed": smoothed_norm(images, mean),
        "mahalanobis": mahalanobis_norm(residual_features(images, mean), *statistics),
        "combined": combined_norm(images, mean, *statistics),
    }
    return {norm: 100 * roc_auc_score(task.test.labels, values) for norm, values in scores.items()}


def main(arguments: Sequence[str]) -> None:
    config, _ = read_flags(__doc__, arguments)
    classes = range(CLASS_COUNTS[config.dataset])
    found = [auroc_by_norm(dataclasses.replace(config, normal_class=number)) for number in tqdm(classes, "classes")]
    for norm in found[0]:
        of_classes = [auroc[norm] for auroc in found]
        print(f"{norm:>11} {np.mean(of_classes):.2f} (" + ", ".join(f"{value:.1f}" for value in of_classes) + ")")


if __name__ == "__main__":
    main(sys.argv[1:])
