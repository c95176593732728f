"""How far the per-image AUROC of the test set moves from one of the last epochs to the next. Run by hand:

python -m tests.benchmarks.steadiness --flagfile=flags/fmnist_best.cfg --normal_class=0

Looks at the test set after every epoch, so what it prints is for judging a recipe, not for choosing an epoch by.
"""

import sys
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from sklearn.metrics import roc_auc_score

from agad_tf.config.experiment import ExperimentConfig
from agad_tf.evaluation.scorer import Scorer
from agad_tf.models.build import build_model
from agad_tf.training.images import load_images
from tests.benchmarks.bare_training import train_bare
from tests.benchmarks.run_flags import read_flags

LAST_EPOCHS = 5


class TestAuroc(keras.callbacks.Callback):
    """Keeps the per-image AUROC of the last epochs, in %."""

    def __init__(self, test: Any, epochs: int, scorer: Scorer):
        super().__init__()
        self.test = test
        self.first_epoch = epochs - LAST_EPOCHS
        self.scorer = scorer
        self.auroc: list[float] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch >= self.first_epoch:
            self.auroc.append(100 * roc_auc_score(self.test.labels, self.scorer.per_image(self.test.images)))


def auroc_of_last_epochs(config: ExperimentConfig) -> list[float]:
    """Trains, and looks at the test set after every epoch."""
    source, task = load_images(config)
    model = build_model(config, (*source.image_size, source.channels))
    watch = TestAuroc(task.test, config.epochs, Scorer(model, config.batch_size))
    train_bare(model, config, task, watch)
    return watch.auroc


def main(arguments: Sequence[str]) -> None:
    config, _ = read_flags(__doc__, arguments)
    auroc = auroc_of_last_epochs(config)
    texts = " ".join(f"{value:.2f}" for value in auroc)
    print(
        f"{config.dataset} {config.normal_class} γ={config.gamma:g}: {texts}; moves by {np.ptp(auroc):.2f}", flush=True
    )


if __name__ == "__main__":
    main(sys.argv[1:])
