"""Statistics of normal error maps, learned after the last epoch."""

from typing import Any

import keras
import numpy as np

from agad_tf.data.scoring_batches import images_at_a_time, scoring_batches, spread
from agad_tf.data.splits import Split
from agad_tf.data.training_inputs import TrainingInputs
from agad_tf.models.peak_score import KINDS


class UsualMaps(keras.callbacks.Callback):
    """Adapts a `SegmentingAGAD` to normal images after the last epoch; must come before callbacks that score images.

    Args:
        inputs: the training images.
        reference: normal images that were not trained on; if None or too few, training images are used.
        epochs: of the whole run.
    """

    # Greatest number of values of training images that are read, and of maps that are kept: 1 GiB each.
    VALUES = 2**28
    # Images at a time.
    BATCH_SIZE = 16

    def __init__(self, inputs: TrainingInputs, reference: Split | None, epochs: int):
        super().__init__()
        self.inputs = inputs.whole or inputs
        self.reference = reference
        self.epochs = epochs

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Adapts the model."""
        if epoch + 1 < self.epochs:
            return
        height, width, channels = self.model.scoring_shape
        together = images_at_a_time((height, width), self.BATCH_SIZE)
        rows = spread(self.inputs.normals, max(1, self.VALUES // (height * width * channels)))
        images = (self.inputs.of_rows(part) for part in np.split(rows, range(together, len(rows), together)))
        reference, least = self.reference, self.model.LEAST_UNSEEN
        most = max(least, self.VALUES // (height * width * len(KINDS)))
        unseen = None
        if reference is not None and len(reference.labels) >= least:
            kept = reference.images[spread(len(reference.labels), most)]
            unseen = iter(scoring_batches(kept, (height, width), together))
        self.model.adapt(images, unseen=unseen)
