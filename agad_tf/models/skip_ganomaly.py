"""Skip-GANomaly, one of the two methods that AGAD extends, as a control."""

from typing import Any

import keras
import tensorflow as tf

from agad_tf.models import losses
from agad_tf.models.agad import AGAD
from agad_tf.models.network_copies import call_keeping_statistics

PUBLISHED_WEIGHTS = losses.LossWeights(adversarial=1.0, contextual=40.0, contextual_adversarial=0.0, latent=1.0)
"""The weights λ of its paper."""
# Share of the contextual loss in the score; the latent loss has the rest.
CONTEXTUAL_SHARE = 0.9


@keras.saving.register_keras_serializable("agad_tf")
class SkipGANomaly(AGAD):
    """Skip-GANomaly (Akcay et al. 2019b): equation (9) without its pseudo-anomalies, and a score with the latent loss.

    Takes the arguments of `AGAD`. Its paper uses a UNet as generator; with another one, this is its objective and score
    on that network. It learns only from normal images, and ignores labels.
    """

    def __init__(self, generator: keras.Model, discriminator: keras.Model, **kwargs: Any):
        super().__init__(generator, discriminator, **{**kwargs, "contextual_adversarial": False})

    def reconstruct_and_score(self, images: tf.Tensor, batch_statistics: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Reconstructions and 0.9·l_con + 0.1·l_lat of each image; see `AGAD.reconstruct_and_score`."""
        reconstruction = call_keeping_statistics(self.scoring_generator, images, batch_statistics)
        _, latent = call_keeping_statistics(self.discriminator, images, batch_statistics)
        _, reconstruction_latent = call_keeping_statistics(self.discriminator, reconstruction, batch_statistics)
        contextual = losses.contextual_loss(images, reconstruction)
        latent_loss = losses.latent_loss(latent, reconstruction_latent)
        return reconstruction, CONTEXTUAL_SHARE * contextual + (1 - CONTEXTUAL_SHARE) * latent_loss

    @property
    def scoring_variables(self) -> list[keras.Variable]:
        """What scores depend on."""
        return [*super().scoring_variables, *self.discriminator.variables]

    def batch_losses(self, images: tf.Tensor, labels: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """Every loss of a batch, in which all images count as normal; see `AGAD.batch_losses`."""
        return self.losses_by_label(images, tf.zeros_like(labels), self.forward(images, training))
