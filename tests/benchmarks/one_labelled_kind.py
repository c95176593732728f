"""What one labelled kind of anomaly is worth against the kinds that nobody has seen. Run by hand:

python -m tests.benchmarks.one_labelled_kind --flagfile=flags/fmnist_best.cfg --gamma=.05 --min_anomalies=8

Trains a detector for each other class, from which the labelled anomalies are, and prints the per-image AUROC of the
test set in %: over all anomalies, those of the labelled class, and those of all others. The same figures as by
--mode=benchmark --sweep=anomaly_classes=each, but all in one process, and nothing is left behind.
"""

import dataclasses
import sys
from collections.abc import Sequence

import keras
import numpy as np
from sklearn.metrics import roc_auc_score

from agad_tf.config.choices import CLASS_COUNTS
from agad_tf.config.experiment import ExperimentConfig
from agad_tf.evaluation.scorer import Scorer
from agad_tf.models.build import build_model
from agad_tf.training.images import load_images
from tests.benchmarks.bare_training import train_bare
from tests.benchmarks.run_flags import read_flags


def auroc_of_kinds(config: ExperimentConfig) -> tuple[float, float, float]:
    """AUROC in % of the test set: against all anomalies, the labelled class, all others."""
    keras.backend.clear_session()
    source, task = load_images(config)
    model = build_model(config, (*source.image_size, source.channels))
    train_bare(model, config, task)
    scores = Scorer(model, config.batch_size).per_image(task.test.images)
    is_labelled = source.y_test[task.test.ids] == config.anomaly_classes[0]
    is_abnormal = task.test.labels == 1
    kinds = (is_abnormal, is_labelled, is_abnormal & ~is_labelled)
    return tuple(100 * roc_auc_score(kind[~is_abnormal | kind], scores[~is_abnormal | kind]) for kind in kinds)


def main(arguments: Sequence[str]) -> None:
    config, _ = read_flags(__doc__, arguments)
    found = []
    for kind in range(CLASS_COUNTS[config.dataset]):
        if kind != config.normal_class:
            found.append(auroc_of_kinds(dataclasses.replace(config, anomaly_classes=(kind,))))
            print(
                f"{config.normal_class} normal, {kind} labelled: " + ", ".join(f"{v:.2f}" for v in found[-1]),
                flush=True,
            )
    means, deviations = np.mean(found, axis=0), np.std(found, axis=0, ddof=1)
    print(
        f"{config.normal_class} normal, mean: "
        + ", ".join(f"{mean:.2f} ± {deviation:.1f}" for mean, deviation in zip(means, deviations, strict=True)),
        flush=True,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
