"""GANomaly, one of the two methods that AGAD extends, as a control."""

from typing import Any

import keras
import tensorflow as tf

from agad_tf.models import losses
from agad_tf.models.agad import AGAD
from agad_tf.models.network_copies import call_keeping_statistics, in_float32
from agad_tf.models.scores import reconstruction_norm

PUBLISHED_WEIGHTS = losses.LossWeights(adversarial=1.0, contextual=50.0, contextual_adversarial=0.0, latent=1.0)
"""The weights λ of its paper."""


@keras.saving.register_keras_serializable("agad_tf")
class GANomaly(AGAD):
    """GANomaly (Akcay et al. 2019a): G also encodes its reconstruction, and the difference of the codes is the score.

    The score is the L2 norm of their difference, which ranks images as the mean square of its public code does; the
    paper writes the L1 norm. It learns only from normal images, without pseudo-anomalies, and ignores labels.

    λ_adv is the weight of feature matching, ‖D_z(x) − D_z(x̂)‖₂, which replaces the adversarial loss, and λ_lat is that
    of the encoder loss ‖z − ẑ‖₂. Takes the arguments of `AGAD`; the generator is from `build_code_comparing_generator`.
    """

    def __init__(self, generator: keras.Model, discriminator: keras.Model, **kwargs: Any):
        super().__init__(generator, discriminator, **{**kwargs, "contextual_adversarial": False})

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Reconstructs images, same shape and range."""
        return super().call(images, training)[0]

    def reconstruct_and_score(self, images: tf.Tensor, batch_statistics: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Reconstructions and ‖z − ẑ‖₂ of each image; see `AGAD.reconstruct_and_score`."""
        outputs = call_keeping_statistics(self.scoring_generator, images, batch_statistics)
        reconstruction, code, reconstruction_code = outputs
        return reconstruction, reconstruction_norm(code, reconstruction_code)

    def batch_losses(self, images: tf.Tensor, labels: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """Every loss of a batch, in which all images count as normal; see `AGAD.batch_losses`."""
        normal = tf.zeros_like(labels)
        reconstruction, code, reconstruction_code = in_float32(self.generator(images, training=training))
        logits, features = in_float32(self.discriminator(images, training=training))
        reconstruction_logits, reconstruction_features = in_float32(
            self.discriminator(reconstruction, training=training)
        )
        contextual = losses.contextual_loss(images, reconstruction)
        feature_matching = losses.latent_loss(features, reconstruction_features)
        encoder = losses.latent_loss(code, reconstruction_code)
        real = losses.adversarial_loss(logits, 1)
        fake = losses.adversarial_loss(reconstruction_logits, 0)
        return {
            "generator_loss": losses.normality_loss(feature_matching, contextual, normal, encoder, self.loss_weights),
            "discriminator_loss": losses.discriminator_loss(normal, real, fake, normal),
            "adversarial_loss": feature_matching,
            "contextual_loss": contextual,
            "contextual_adversarial_distance": normal,
            "latent_loss": encoder,
            "discriminator_real_loss": real,
            "discriminator_fake_loss": fake,
            **dict.fromkeys(losses.ANOMALY_TERMS, normal),
        }
