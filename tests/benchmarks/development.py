"""What a recipe is worth on images that are in no test set. Run by hand, to choose options by:

python -m tests.benchmarks.development --classes=0,2,6,8 --flagfile=flags/fmnist_best.cfg --mixed_precision=bfloat16

The development images are training images of the data set that are held out before anything else: of the normal
class 600, of each other one 200. Prints their AUROC by every norm of residuals, for each class, whatever
--residual_norm says; the data set's classes must be larger than that. Ask more than one --seed before a small
difference is believed.
"""

import dataclasses
import sys
from collections.abc import Sequence

import numpy as np
from absl import flags
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from agad_tf.config.choices import RESIDUAL_NORMS
from agad_tf.config.experiment import ExperimentConfig
from agad_tf.data.sources import Source, load_source
from agad_tf.data.splits import one_class_task
from agad_tf.evaluation.scorer import Scorer
from agad_tf.models.build import build_model
from tests.benchmarks.bare_training import train_bare
from tests.benchmarks.run_flags import read_flags

NORMALS, ANOMALIES_OF_A_CLASS = 600, 200
# The images are the same whatever --seed is.
SPLIT_SEED = 20


def development_source(source: Source, normal_class: int) -> Source:
    """Puts held-out training images in the place of the test set."""
    rng = np.random.default_rng(SPLIT_SEED)
    of_classes = [rng.permutation(np.flatnonzero(source.y_train == number)) for number in np.unique(source.y_train)]
    held_out = np.concatenate(
        [rows[: NORMALS if source.y_train[rows[0]] == normal_class else ANOMALIES_OF_A_CLASS] for rows in of_classes]
    )
    rest = np.setdiff1d(np.arange(len(source.y_train)), held_out)
    return dataclasses.replace(
        source,
        x_train=source.x_train[rest],
        y_train=source.y_train[rest],
        x_test=source.x_train[held_out],
        y_test=source.y_train[held_out],
    )


def development_auroc(config: ExperimentConfig, normal_class: int) -> dict[str, float]:
    """Trains, and judges by images that were held out, in %, by norm of residuals."""
    source = development_source(load_source(config.dataset, config.data_dir, config.image_size), normal_class)
    anomaly_classes = tuple(source.class_number(name) for name in config.anomaly_classes)
    task = one_class_task(source, normal_class, config.gamma, anomaly_classes, config.validation_fraction, config.seed)
    # With it is fitted all that any norm needs.
    model = build_model(
        dataclasses.replace(config, score="combined"), (config.image_size, config.image_size, source.channels)
    )
    train_bare(model, config, task)
    found = {}
    for norm in RESIDUAL_NORMS:
        model.residual_norm = norm
        scores = Scorer(model, config.batch_size).per_image(task.test.images)
        found[norm] = 100 * roc_auc_score(task.test.labels, scores)
    return found


def main(arguments: Sequence[str]) -> None:
    def define_classes(values: flags.FlagValues) -> None:
        flags.DEFINE_list("classes", None, "Normal classes, one detector each.", flag_values=values, required=True)

    config, flag_values = read_flags(__doc__, arguments, define_classes)
    found = {int(name): development_auroc(config, int(name)) for name in tqdm(flag_values.classes, "training")}
    for norm in RESIDUAL_NORMS:
        of_norm = {number: auroc[norm] for number, auroc in found.items()}
        by_class = ", ".join(f"{number}: {value:.1f}" for number, value in of_norm.items())
        print(f"{norm:>11} {np.mean(list(of_norm.values())):.2f} ({by_class})")


if __name__ == "__main__":
    main(sys.argv[1:])
