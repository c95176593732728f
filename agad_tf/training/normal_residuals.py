"""What scores need to know of normal images, learned after each epoch."""

from typing import Any

import keras
import numpy as np

from agad_tf.data.scoring_batches import spread
from agad_tf.data.training_inputs import TrainingInputs


class NormalResiduals(keras.callbacks.Callback):
    """Adapts a model to normal training images after each epoch, if its scores depend on them.

    Must come before what scores images. It takes training images, as the threshold is chosen on the validation images:
    those would be less unusual among themselves than others are.

    Args:
        inputs: the training images.
    """

    IMAGES = 2048
    BATCH_SIZE = 256

    def __init__(self, inputs: TrainingInputs):
        super().__init__()
        self.inputs = inputs

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Adapts the model; scores that are not finite then are found when the validation images are scored."""
        if not self.model.needs_adapt:
            return
        # From all of them, as they may come in an order that means something.
        rows = spread(self.inputs.normals, self.IMAGES)
        parts = np.split(rows, range(self.BATCH_SIZE, len(rows), self.BATCH_SIZE))
        self.model.adapt(self.inputs.of_rows(part) for part in parts)
