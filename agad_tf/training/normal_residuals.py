"""What scores need to know of normal images, learned after each epoch."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from agad_tf.data.training_batches import TrainingInputs
from agad_tf.models.agad import AGAD
from agad_tf.models.scores import fit_mahalanobis, residual_features


class NormalResiduals(keras.callbacks.Callback):
    """Finds what residuals of normal training images are like, for models whose scores depend on it.

    Must come before what scores images. Of training images, as the threshold is chosen on the validation images: those
    would be less unusual among themselves than others are.

    Args:
        model: the compiled model.
        inputs: the training images.
    """

    IMAGES = 2048
    BATCH_SIZE = 256

    def __init__(self, model: AGAD, inputs: TrainingInputs):
        super().__init__()
        self.inputs = inputs
        self._features = tf.function(lambda images: residual_features(images, model(images)), reduce_retracing=True)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Measures, if the model asks for it."""
        if not self.model.residual_statistics:
            return
        # From all of them, as they may come in an order that means something.
        count = min(self.inputs.normals, self.IMAGES)
        rows = np.arange(count) * self.inputs.normals // count
        parts = np.split(rows, range(self.BATCH_SIZE, len(rows), self.BATCH_SIZE))
        features = np.concatenate([self._features(self.inputs.of_rows(part)) for part in parts])
        # Others are found when the validation images are scored.
        if np.isfinite(features).all():
            for variable, value in zip(self.model.residual_statistics, fit_mahalanobis(features), strict=True):
                variable.assign(value)
