"""Statistics of normal images that scores need, learned after each epoch."""

from typing import Any

import keras
import numpy as np

from agad_tf.data.scoring_batches import spread
from agad_tf.data.training_inputs import TrainingInputs


class NormalResiduals(keras.callbacks.Callback):
    """Adapts a model to normal training images after each epoch, if its scores depend on them.

    Must come before callbacks that score images. It uses training images, because the threshold is chosen on the
        validation images: they would score too low if the statistics were their own.

    Args:
        inputs: the training images.
    """

    IMAGES = 2048
    BATCH_SIZE = 256

    def __init__(self, inputs: TrainingInputs):
        super().__init__()
        self.inputs = inputs

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Adapts the model; scores that are not finite are detected when the validation images are scored."""
        if not self.model.needs_adapt:
            return
        # Spread over all images, because their order may have a meaning.
        rows = spread(self.inputs.normals, self.IMAGES)
        parts = np.split(rows, range(self.BATCH_SIZE, len(rows), self.BATCH_SIZE))
        self.model.adapt(self.inputs.of_rows(part) for part in parts)
