"""The methods that AGAD extends: its networks and losses in the compositions of 2018 and 2019, to be its controls.

Both learn from normal images alone and know no pseudo-anomalies; labels are left unread.
"""

from typing import Any

import keras
import tensorflow as tf

from agad_tf.models import losses
from agad_tf.models.agad import AGAD
from agad_tf.models.scores import reconstruction_norm

# The weights λ of the two papers.
PUBLISHED_WEIGHTS = {
    "ganomaly": losses.LossWeights(adversarial=1.0, contextual=50.0, contextual_adversarial=0.0, latent=1.0),
    "skip_ganomaly": losses.LossWeights(adversarial=1.0, contextual=40.0, contextual_adversarial=0.0, latent=1.0),
}


class _Ancestor(AGAD):
    """What both are: `AGAD` without pseudo-anomalies, whatever its `contextual_adversarial` says."""

    def __init__(self, generator: keras.Model, discriminator: keras.Model, **kwargs: Any):
        super().__init__(generator, discriminator, **{**kwargs, "contextual_adversarial": False})


@keras.saving.register_keras_serializable("agad_tf")
class GANomaly(_Ancestor):
    """GANomaly (Akcay et al. 2019a): G also encodes its reconstruction, and codes that differ are the score.

    The score is the L2 norm of their difference, which ranks images as the mean square of its public code does; the
    paper writes the L1 norm.

    Of the weights λ, λ_adv is that of feature matching ‖D_z(x) − D_z(x̂)‖₂, which stands in the place of the
    adversarial loss, and λ_lat that of the encoder loss ‖z − ẑ‖₂. Takes the arguments of `AGAD`; the generator is
    from `build_code_comparing_generator`.
    """

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Reconstructs images, same shape and range."""
        return super().call(images, training)[0]

    def reconstruct_and_score(self, images: tf.Tensor, batch_statistics: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Reconstructions and ‖z − ẑ‖₂ of each image; see `AGAD.reconstruct_and_score`."""
        reconstruction, code, reconstruction_code = self.generate(images, batch_statistics)
        return reconstruction, reconstruction_norm(code, reconstruction_code)

    def terms(self, images: tf.Tensor, labels: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """Every loss of a batch, all of it taken for normal; see `AGAD.terms`."""
        normal = tf.zeros_like(labels)
        reconstruction, code, reconstruction_code = self.generator(images, training=training)
        logits, features = self.discriminator(images, training=training)
        reconstruction_logits, reconstruction_features = self.discriminator(reconstruction, training=training)
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
