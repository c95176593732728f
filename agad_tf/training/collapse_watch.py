"""Watches after each epoch whether adversarial training has collapsed."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from agad_tf.config.seconds import CLOCK
from agad_tf.data.preprocessing import to_network_input
from agad_tf.data.splits import NORMAL, OneClassTask
from agad_tf.evaluation.collapse import collapse_figures, collapse_signs
from agad_tf.models.agad import AGAD

# This many images are enough, and fit into one batch.
IMAGES = 256


class CollapseWatch(keras.callbacks.Callback):
    """Measures signs of collapsed adversarial training at the end of every epoch, and reports them.

    Adds to the logs "validation_reconstruction_spread", "validation_discriminator_accuracy" and, where the model
    trains with pseudo-anomalies, "validation_pseudo_anomaly_auroc".

    Args:
        model: the compiled model.
        task: the source of normal validation images.
        epochs: of the whole run. Nothing is reported in the first three quarters, because every generator begins with
            one image for all inputs.
    """

    def __init__(self, model: AGAD, task: OneClassTask, epochs: int):
        super().__init__()
        normals = np.asarray(task.validation.of_label(NORMAL).images[:IMAGES])
        self.images = to_network_input(normals, model.scoring_size)
        self.epochs = epochs
        self._look = tf.function(lambda images: _look(model, images), autograph=False)

    @CLOCK.within("validation scores")
    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Measures, and adds the figures to `logs`."""
        figures = collapse_figures(*(values.numpy() for values in self._look(self.images)))
        if not self.model.contextual_adversarial:
            del figures["validation_pseudo_anomaly_auroc"]
        logs.update(figures)
        if epoch + 1 > 0.75 * self.epochs:
            for sign in collapse_signs(figures):
                tqdm.write(f"agad_tf: after epoch {epoch + 1} {sign}")


def _look(model: AGAD, images: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """The arguments of `collapse_figures`."""
    reconstruction, scores = model.reconstruct_and_score(images)
    _, scores_of_pseudo_anomalies = model.reconstruct_and_score(reconstruction)
    logits, logits_of_pseudo_anomalies = (
        model.discriminator(inputs, training=False)[0] for inputs in (images, reconstruction)
    )
    return images, reconstruction, scores, scores_of_pseudo_anomalies, logits, logits_of_pseudo_anomalies
