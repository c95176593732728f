"""AGAD as a Keras model: Algorithm 1 of the paper; `models.reconstruction_scorer` has its scores."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from agad_tf.config.choices import (
    ANOMALY_DISTANCES,
    ANOMALY_NORMALIZATIONS,
    PSEUDO_ANOMALY_NORMALIZATIONS,
)
from agad_tf.models import losses
from agad_tf.models.forward_passes import Passes, passes_by_label
from agad_tf.models.network_copies import (
    call_keeping_statistics,
    in_float32,
    own_variables,
    with_auxiliary_normalization,
)
from agad_tf.models.reconstruction_scorer import ReconstructionScorer
from agad_tf.models.replicas import apply_gradients, where_all_agree
from agad_tf.models.saved_by_0_6 import VERSION_KEY, let_read_what_0_6_saved
from agad_tf.models.step import Step, read_batch

DEFAULT_WEIGHTS = losses.LossWeights()


@keras.saving.register_keras_serializable("agad_tf")
class AGAD(ReconstructionScorer):
    """Generator and discriminator, trained against each other by the label-conditional losses of AGAD.

    An ordinary Keras model: `compile`, `fit`, `evaluate`, `predict`, `save` and `export` work as usual. Images are
    float (batch, height, width, channels) in [-1, 1], labels (batch,): 0 normal, 1 abnormal; without labels all images
    count as normal. Calling the model gives reconstructions. What `fit` logs as "loss" is L_g, equation (11).

    Args:
        generator: G, from `build_generator`, or any Keras model from images to images of the same shape and range.
        discriminator: D, from `build_discriminator`, or any Keras model from images to two outputs: logits, float
            (batch, ...), and the latent embedding D_z, float (batch, ...).
        contextual_adversarial: whether G learns to reconstruct pseudo-anomalies x̂ badly, equation (8).
        anomaly_distance: d_a of equation (10): "input" is ‖x − x̂‖₁, equation (3); "reconstruction" is
            ‖x̂ − G(x̂)‖₁, line 9, which needs `contextual_adversarial`.
        anomaly_normalization: how batch normalisation treats labelled anomalies in training: "joint", in one batch with
            the normal images; "frozen", normalised by the moving statistics; "separate", as in code that feeds G one
            kind at a time: normal images, anomalies and the pseudo-anomalies of either form separate batches, and all
            of them update the moving statistics. The last two need both labels in every batch.
        pseudo_anomaly_normalization: "shared", x̂ goes through the batch normalisation layers of the images;
            "auxiliary", as in AdvProp, it goes through `pseudo_anomaly_generator`: the same network with batch
            normalisation layers of its own.
        loss_weights: the λ of equations (9) and (10) and the epsilon of the reciprocals.
        reinit_threshold: δ; D gets new random weights when its loss on a batch falls below it; 0 turns that off.
        residual_norm: the norm of residuals that is the score: "euclidean" is the paper's ‖x − G(x)‖₂; "smoothed" first
            averages residuals over 3×3 pixels; "mahalanobis" averages them over overlapping windows and measures their
            Mahalanobis distance from those of normal images; "combined" is the geometric mean of the last two.
            "mahalanobis" and "combined" need `adapt` after `fit`.
        ema_momentum: in [0, 1); above 0, images are scored by `ema_generator`, the exponential moving average of G's
            weights and statistics over the training steps, which moves less from epoch to epoch than G itself.
        seed: for new weights of the discriminator.

    Raises:
        ValueError: an unknown choice, one that contradicts another, or an unsuitable network.

    Example:
        >>> import numpy as np
        >>> from agad_tf import AGAD, build_discriminator, build_generator
        >>> images = np.random.default_rng(0).uniform(-1, 1, (8, 16, 16, 1)).astype("float32")
        >>> generator = build_generator("encoder_decoder", (16, 16, 1), width=1 / 8)
        >>> model = AGAD(generator, build_discriminator((16, 16, 1), width=1 / 8))
        >>> model.compile()
        >>> history = model.fit(images, epochs=1, verbose=0)
        >>> model.anomaly_score(images).shape
        TensorShape([8])
    """

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        *,
        contextual_adversarial: bool = True,
        anomaly_distance: str = "input",
        anomaly_normalization: str = "joint",
        pseudo_anomaly_normalization: str = "shared",
        loss_weights: losses.LossWeights | Sequence[float] = DEFAULT_WEIGHTS,
        reinit_threshold: float = 1e-5,
        residual_norm: str = "euclidean",
        ema_momentum: float = 0.0,
        seed: int = 0,
        **kwargs: Any,
    ):
        _require_choice("anomaly_distance", anomaly_distance, ANOMALY_DISTANCES)
        _require_choice("anomaly_normalization", anomaly_normalization, ANOMALY_NORMALIZATIONS)
        _require_choice("pseudo_anomaly_normalization", pseudo_anomaly_normalization, PSEUDO_ANOMALY_NORMALIZATIONS)
        if anomaly_distance == "reconstruction" and not contextual_adversarial:
            raise ValueError("anomaly_distance='reconstruction' measures G(x̂); it needs contextual_adversarial=True.")
        if not 0 <= ema_momentum < 1:
            raise ValueError(f"ema_momentum is {ema_momentum}; it must be at least 0 and less than 1.")
        super().__init__(
            generator,
            discriminator,
            residual_norm=residual_norm,
            reinit_threshold=reinit_threshold,
            ema_momentum=ema_momentum,
            seed=seed,
            **kwargs,
        )
        self.contextual_adversarial = contextual_adversarial
        self.anomaly_distance = anomaly_distance
        self.anomaly_normalization = anomaly_normalization
        self.pseudo_anomaly_normalization = pseudo_anomaly_normalization
        self.pseudo_anomaly_generator = (
            with_auxiliary_normalization(generator, "pseudo_anomaly_generator")
            if pseudo_anomaly_normalization == "auxiliary"
            else None
        )
        self.loss_weights = losses.LossWeights(*loss_weights)
        self.built = True

    # === Training ===

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """One step of Algorithm 1: both networks learn from the same forward pass.

        Runs once in every replica. If a loss, gradient or statistic is not finite, all replicas skip the step, and it
        is counted.
        """
        images, labels, *others = self.read_batch(data)  # line 2
        # Lines 3 to 10, `batch_losses`, and their gradients; nothing changes yet.
        step = self.compute_step(images, labels, *others)
        where_all_agree(step.finite, self.update_networks, step, labels)  # lines 12 and 13
        collapsed = step.finite & (step.discriminator_loss < self.reinit_threshold)  # δ
        where_all_agree(collapsed, self.reset_discriminator)
        self.count_step(taken=step.finite, reset=collapsed)
        return self.step_results()

    def read_batch(self, data: Any) -> tuple[tf.Tensor, ...]:
        """Line 2: images and labels from the data of `fit`; a subclass may add to them."""
        return read_batch(data)

    def batch_losses(self, images: tf.Tensor, labels: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """Lines 3 to 10: the losses L_g and L_d of each image, and all their terms.

        Args:
            images: x, float (batch, height, width, channels) in [-1, 1].
            labels: float (batch,): 0 normal, 1 abnormal.
            training: whether batch normalisation uses the statistics of the batch.

        Returns:
            By the names of `agad_tf.models.losses`, float (batch,) each.
        """
        if training and self.anomaly_normalization != "joint":
            passes = passes_by_label(self.forward, images, labels, self.anomaly_normalization)
        else:
            passes = self.forward(images, training)
        return self.losses_by_label(images, labels, passes)

    def forward(self, images: tf.Tensor, training: bool) -> Passes:
        """Lines 3 and 4: passes images through the networks as one batch.

        Args:
            images: x, float (batch, height, width, channels) in [-1, 1].
            training: whether batch normalisation uses the statistics of the batch, and updates the moving ones.
        """
        reconstruction = self.generator(images, training=training)  # line 3: x̂ = G(x)
        logits, latent = self.discriminator(images, training=training)  # y, z = D(x)
        re_reconstruction = self.re_reconstruct(reconstruction, training)  # line 4: x̂' = G(x̂)
        reconstruction_logits, reconstruction_latent = self.discriminator(reconstruction, training=training)  # ŷ, ẑ
        return Passes(
            *in_float32(
                (reconstruction, re_reconstruction, logits, latent, reconstruction_logits, reconstruction_latent)
            )
        )

    def losses_by_label(self, images: tf.Tensor, labels: tf.Tensor, passes: Passes) -> dict[str, tf.Tensor]:
        """Lines 5 to 10: L_g and L_d of each image, by its label, and all their terms; see `batch_losses`."""
        contextual = losses.contextual_loss(images, passes.reconstruction)
        distance = losses.contextual_adversarial_distance(passes.reconstruction, passes.re_reconstruction)
        latent = losses.latent_loss(passes.latent, passes.reconstruction_latent)
        adversarial = losses.adversarial_loss(passes.reconstruction_logits, 1)  # l_adv(ŷ, 1)
        real = losses.adversarial_loss(passes.logits, 1)  # l_adv(y, 1)
        fake = losses.adversarial_loss(passes.reconstruction_logits, 0)  # l_adv(ŷ, 0)
        anomaly = losses.adversarial_loss(passes.logits, 0)  # l_adv(y, 0)
        anomaly_distance = contextual if self.anomaly_distance == "input" else distance  # equation (3), or line 9

        # A normal image, lines 5 to 7; an anomaly, lines 8 to 10.
        normality_loss = losses.normality_loss(adversarial, contextual, distance, latent, self.loss_weights)
        anomaly_loss = losses.anomaly_loss(fake, anomaly_distance, latent, self.loss_weights)
        return {
            "generator_loss": losses.total_loss(labels, anomaly_loss, normality_loss),
            "adversarial_loss": adversarial,
            "contextual_loss": contextual,
            "contextual_adversarial_distance": distance,
            "latent_loss": latent,
            "anomaly_adversarial_loss": fake,
            "anomaly_distance": anomaly_distance,
            "anomaly_latent_loss": latent,
            "discriminator_loss": losses.discriminator_loss(labels, real, fake, anomaly),
            "discriminator_real_loss": real,
            "discriminator_fake_loss": fake,
            "discriminator_anomaly_loss": anomaly,
        }

    def update_networks(self, step: Step, labels: tf.Tensor) -> None:
        """Lines 12 and 13: the optimizers update both networks, and averages and counts follow."""
        apply_gradients(self.generator_optimizer, step.gradients.of["generator"], self.generator_weights)  # line 12
        apply_gradients(
            self.discriminator_optimizer, step.gradients.of["discriminator"], self.discriminator_weights
        )  # 13
        self.update_statistics(step)
        self.update_ema_generator()
        self.update_loss_means(labels, step.gradients.losses)

    def re_reconstruct(self, reconstruction: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Passes pseudo-anomalies x̂ through G: x̂' = G(x̂), same shape and range; returns x̂ itself if no loss needs x̂'.

        They update G's moving statistics only with "separate", because these serve to score images, and x̂ is never
        scored.
        """
        if not self.contextual_adversarial:
            return reconstruction
        if self.pseudo_anomaly_generator is not None:
            return self.pseudo_anomaly_generator(reconstruction, training=training)
        if self.anomaly_normalization == "separate" and training:
            return self.generator(reconstruction, training=True)
        return call_keeping_statistics(self.generator, reconstruction, training)

    @property
    def networks(self) -> list[keras.Model]:
        """All networks that are trained."""
        return [
            *super().networks,
            *([self.pseudo_anomaly_generator] if self.pseudo_anomaly_generator is not None else []),
        ]

    @property
    def generator_weights(self) -> list[keras.Variable]:
        """θ_g, with the additional variables of `pseudo_anomaly_generator`."""
        return [*super().generator_weights, *(v for v in self.auxiliary_variables if v.trainable)]

    @property
    def auxiliary_variables(self) -> list[keras.Variable]:
        """The variables of `pseudo_anomaly_generator` that G does not have."""
        return (
            []
            if self.pseudo_anomaly_generator is None
            else list(own_variables(self.pseudo_anomaly_generator, self.generator))
        )

    # === Config ===

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, networks included."""
        return {
            **super().get_config(),
            "generator": keras.saving.serialize_keras_object(self.generator),
            "discriminator": keras.saving.serialize_keras_object(self.discriminator),
            "contextual_adversarial": self.contextual_adversarial,
            "anomaly_distance": self.anomaly_distance,
            "anomaly_normalization": self.anomaly_normalization,
            "pseudo_anomaly_normalization": self.pseudo_anomaly_normalization,
            "loss_weights": list(self.loss_weights),
            "reinit_threshold": self.reinit_threshold,
            "residual_norm": self.residual_norm,
            "ema_momentum": self.ema_momentum,
            "seed": self.seed,
            VERSION_KEY: 2,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> "AGAD":
        """The model that `get_config` describes, with new weights."""
        networks: dict[str, Any] = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects)
            for name in ("generator", "discriminator", "segmenter")
            if name in config
        }
        arguments = {name: value for name, value in config.items() if name != VERSION_KEY}
        model = cls(**{**arguments, **networks})
        if VERSION_KEY not in config:
            let_read_what_0_6_saved(model)
        return model


def _require_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"Unknown {name} '{value}'; choose one of {', '.join(choices)}.")
