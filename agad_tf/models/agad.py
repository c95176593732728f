"""AGAD as a Keras model: its reconstructions, its losses and its scores. `agad_tf.models.adversarial` trains it."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from agad_tf.config.choices import (
    ANOMALY_DISTANCES,
    ANOMALY_NORMALIZATIONS,
    PSEUDO_ANOMALY_NORMALIZATIONS,
    RESIDUAL_NORMS,
)
from agad_tf.models import losses
from agad_tf.models.adversarial import AdversarialModel, copy_of
from agad_tf.models.forward_passes import Passes, call_keeping_statistics, passes, training_passes
from agad_tf.models.scores import (
    GRID,
    combined_norm,
    mahalanobis_norm,
    reconstruction_norm,
    residual_features,
    smoothed_norm,
)
from agad_tf.networks.normalization import BatchNormalization

DEFAULT_WEIGHTS = losses.LossWeights()


@keras.saving.register_keras_serializable("agad_tf")
class AGAD(AdversarialModel):
    """Generator and discriminator, trained against each other by the label-conditional losses of AGAD.

    An ordinary Keras model: `compile`, `fit`, `evaluate`, `predict` and `save` work as ever. Images are float
    (batch, height, width, channels) in [-1, 1], labels (batch,): 0 normal, 1 abnormal; without labels all
    images count as normal. Calling the model gives reconstructions.

    Args:
        generator: G, from `build_generator` or of the same form.
        discriminator: D, from `build_discriminator` or of the same form.
        contextual_adversarial: whether pseudo-anomalies x̂ are to be reconstructed badly, equation (8).
        anomaly_distance: d_a of equation (10): "input" is ‖x − x̂‖₁, equation (3); "reconstruction" is
            ‖x̂ − G(x̂)‖₁, line 9, which needs `contextual_adversarial`.
        anomaly_normalization: how labelled anomalies meet batch normalisation in training: "joint", one batch
            with the normals; "frozen", by the moving statistics; "separate", as in code that feeds G one kind at
            a time: normals, anomalies and the pseudo-anomalies of either are batches of their own, and all of
            them move the moving statistics. The last two need both labels in every batch.
        pseudo_anomaly_normalization: "shared", x̂ goes through the batch normalisation layers of the images;
            "auxiliary", as in AdvProp, scale and offset of those layers are its own. As x̂ is never scored, no
            moving statistics are kept for it.
        loss_weights: the λ of equations (9) and (10) and the epsilon of the reciprocals.
        reinit_threshold: δ; D is drawn anew when its loss on a batch falls below it. 0 never does.
        residual_norm: how what a reconstruction leaves of an image is measured, which is the score: "euclidean" is
            the paper's ‖x − G(x)‖₂; "smoothed" is that of residuals averaged over 3×3 pixels; "mahalanobis" is
            that of residuals averaged over overlapping windows, less their mean over normal images, in which
            directions usual among these count less; "combined" is the geometric mean of these two. Both it and
            "mahalanobis" need `agad_tf.callbacks.NormalResiduals` in `fit`, which finds what is usual.
        ema_momentum: in [0, 1); above 0, images are scored by the exponential moving average of G's weights and
            statistics over the training steps, which moves less from epoch to epoch than G itself.
        seed: of the discriminators drawn anew.

    Raises:
        ValueError: an unknown choice, or one that contradicts another.

    Example:
        >>> model = AGAD(build_generator("encoder_decoder"), build_discriminator())
        >>> model.compile()
        >>> model.fit(normal_images, epochs=10)
        >>> scores = model.anomaly_score(images)
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
        _require_choice("residual_norm", residual_norm, RESIDUAL_NORMS)
        if anomaly_distance == "reconstruction" and not contextual_adversarial:
            raise ValueError("anomaly_distance='reconstruction' measures G(x̂); it needs contextual_adversarial=True.")
        if not 0 <= ema_momentum < 1:
            raise ValueError(f"ema_momentum is {ema_momentum}; it must be at least 0 and less than 1.")
        super().__init__(
            generator,
            discriminator,
            reinit_threshold=reinit_threshold,
            ema_momentum=ema_momentum,
            seed=seed,
            **kwargs,
        )
        self.contextual_adversarial = contextual_adversarial
        self.anomaly_distance = anomaly_distance
        self.anomaly_normalization = anomaly_normalization
        self.pseudo_anomaly_normalization = pseudo_anomaly_normalization
        self._auxiliary_weights = [
            self.add_weight(variable.shape, initializer=copy_of(variable), name=f"auxiliary_{variable.name}")
            for variable in self._shared_weights
        ]
        self.loss_weights = losses.LossWeights(*loss_weights)
        self.residual_norm = residual_norm
        self.residual_statistics = []
        if residual_norm in ("mahalanobis", "combined"):
            if any(side % GRID for side in generator.input_shape[1:3]):
                raise ValueError(
                    f"residual_norm='{residual_norm}' needs a height and width that are multiples of {GRID}, and the "
                    f"generator's are {generator.input_shape[1:3]}; choose another norm or size."
                )
            count = GRID**2 * generator.input_shape[-1]
            self.residual_statistics = [
                self.add_weight((count,), initializer="zeros", trainable=False, name="residual_mean"),
                self.add_weight((count, count), initializer="identity", trainable=False, name="residual_whitening"),
            ]
        self.built = True

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Reconstructs images, x̂ = G(x), same shape and range."""
        return self.generator(images, training=True) if training else self.generate(images)

    def generate(self, images: tf.Tensor, batch_statistics: bool = False) -> Any:
        """What G makes of images to score them: by the averages of its weights, if they are kept; nothing moves.

        Args:
            images: float (batch, height, width, channels) in [-1, 1].
            batch_statistics: whether to normalise by the batch.

        Returns:
            What the generator gives: reconstructions like `images`, and with a second encoder the codes as well.
        """
        averaged = self.generator.variables if self.averages else ()
        stand_ins = {variable.path: mean for variable, mean in zip(averaged, self.averages, strict=True)}
        return call_keeping_statistics(self.generator, images, batch_statistics, stand_ins)

    def re_reconstruct(self, reconstruction: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Sends pseudo-anomalies x̂ through G: x̂' = G(x̂), same shape and range.

        They move G's statistics in "separate" alone: those are there to score images, and x̂ is none.
        """
        if self._auxiliary_weights:
            paths = [variable.path for variable in self._shared_weights]
            stand_ins = dict(zip(paths, self._auxiliary_weights, strict=True))
            return call_keeping_statistics(self.generator, reconstruction, True, stand_ins)
        if self.anomaly_normalization == "separate" and training:
            return self.generator(reconstruction, training=True)
        return call_keeping_statistics(self.generator, reconstruction, training)

    def anomaly_score(self, images: tf.Tensor) -> tf.Tensor:
        """A(x) of each image, by default ‖x − G(x)‖₂, by the moving statistics: it does not depend on the batch.

        Args:
            images: float (batch, height, width, channels) in [-1, 1].

        Returns:
            float (batch,), higher is more abnormal.
        """
        return self.reconstruct_and_score(images)[1]

    def reconstruct_and_score(self, images: tf.Tensor, batch_statistics: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Reconstructions and anomaly scores, from one pass; no statistics move.

        Args:
            images: float (batch, height, width, channels) in [-1, 1].
            batch_statistics: whether to normalise by the batch, as the family's code does; then a score depends on
                the other images.

        Returns:
            Like `images`, and float (batch,), higher is more abnormal.
        """
        reconstruction = self.generate(images, batch_statistics)
        return reconstruction, self._score(images, reconstruction)

    def _score(self, images: tf.Tensor, reconstruction: tf.Tensor) -> tf.Tensor:
        if self.residual_norm == "combined":
            return combined_norm(images, reconstruction, *self.residual_statistics)
        if self.residual_norm == "mahalanobis":
            return mahalanobis_norm(residual_features(images, reconstruction), *self.residual_statistics)
        norm = smoothed_norm if self.residual_norm == "smoothed" else reconstruction_norm
        return norm(images, reconstruction)

    @property
    def scoring_state(self) -> list[keras.Variable]:
        """What is found in training for the sake of scores alone; it belongs to neither network."""
        return [*self.averages, *self.residual_statistics]

    @property
    def scoring_variables(self) -> list[keras.Variable]:
        """What scores depend on."""
        return [*(self.averages or self.generator.variables), *self.residual_statistics]

    def terms(self, images: tf.Tensor, labels: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """Lines 2 to 10: what the networks say of a batch, and every loss of it.

        Args:
            images: float (batch, height, width, channels) in [-1, 1].
            labels: float (batch,): 0 normal, 1 abnormal.
            training: whether batch normalisation uses the statistics of the batch.

        Returns:
            By the names of `agad_tf.models.losses`, float (batch,) each.
        """
        re_reconstruct = self.re_reconstruct if self.contextual_adversarial else None
        if training:
            found = training_passes(
                self.generator,
                self.discriminator,
                images,
                labels,
                anomaly_normalization=self.anomaly_normalization,
                re_reconstruct=re_reconstruct,
            )
        else:
            found = passes(self.generator, self.discriminator, images, training=False, re_reconstruct=re_reconstruct)
        return self._loss_terms(images, labels, found)

    def _loss_terms(self, images: tf.Tensor, labels: tf.Tensor, found: Passes) -> dict[str, tf.Tensor]:
        return losses.loss_terms(images, labels, found, self.anomaly_distance, self.loss_weights)

    @property
    def generator_weights(self) -> list[keras.Variable]:
        """θ_g."""
        return [*super().generator_weights, *self._auxiliary_weights]

    @property
    def _shared_weights(self) -> list[keras.Variable]:
        """Scales and offsets of G's batch normalisation that have an auxiliary counterpart."""
        if self.pseudo_anomaly_normalization == "shared":
            return []
        layers = [layer for layer in self.generator.layers if isinstance(layer, BatchNormalization)]
        return [variable for layer in layers for variable in layer.trainable_variables]

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
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> "AGAD":
        """The model that `get_config` describes, with new weights."""
        networks = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects)
            for name in ("generator", "discriminator")
        }
        return cls(**{**config, **networks})


def _require_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"Unknown {name} '{value}'; choose one of {', '.join(choices)}.")
