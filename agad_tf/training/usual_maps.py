"""What is usual among normal images, learned after the last epoch."""

from typing import Any

import keras
import numpy as np

from agad_tf.data.scoring_batches import scoring_batches
from agad_tf.data.splits import Split
from agad_tf.data.training_batches import TrainingInputs


class UsualMaps(keras.callbacks.Callback):
    """Adapts a `SegmentingAGAD` to normal images after the last epoch; must come before what scores images.

    Args:
        inputs: the training images.
        reference: normal images that no gradient came from; None, or too few of them, takes training images.
        epochs: of the whole run.
    """

    # So many pixel values of training images are looked at, at most: 1 GiB.
    VALUES = 2**28

    def __init__(self, inputs: TrainingInputs, reference: Split | None, epochs: int):
        super().__init__()
        self.inputs = inputs
        self.reference = reference
        self.epochs = epochs

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Adapts the model."""
        if epoch + 1 < self.epochs:
            return
        count = max(1, min(self.inputs.normals, self.VALUES // int(np.prod(self.model.scoring_shape))))
        images = self.inputs.of_rows(np.arange(count) * self.inputs.normals // count).numpy()
        reference = self.reference
        unseen = None
        if reference is not None and len(reference.labels) >= self.model.LEAST_UNSEEN:
            batches = list(scoring_batches(reference.images, self.model.scoring_size))
            unseen = np.concatenate(batches)
        self.model.adapt(images, unseen=unseen)
