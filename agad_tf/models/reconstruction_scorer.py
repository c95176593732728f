"""Anomaly scores of an adversarial model: by what the reconstruction of an image leaves of it."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from agad_tf.config.choices import RESIDUAL_NORMS
from agad_tf.models.adversarial import AdversarialModel
from agad_tf.models.network_copies import call_keeping_statistics, in_float32
from agad_tf.models.scores import (
    GRID,
    combined_norm,
    fit_mahalanobis,
    mahalanobis_norm,
    reconstruction_norm,
    residual_features,
    smoothed_norm,
)
from agad_tf.models.step import require_floats

SCORING_BATCH_SIZE = 256


class ReconstructionScorer(AdversarialModel):
    """A model that scores images by their reconstructions; how it is trained is a subclass's own.

    Args:
        generator: G.
        discriminator: D.
        residual_norm: the score, see `agad_tf.AGAD`.
        **kwargs: of `AdversarialModel`.

    Raises:
        ValueError: an unknown norm, or one that does not fit the generator's images.
    """

    def __init__(self, generator: keras.Model, discriminator: keras.Model, *, residual_norm: str, **kwargs: Any):
        super().__init__(generator, discriminator, **kwargs)
        if residual_norm not in RESIDUAL_NORMS:
            raise ValueError(f"Unknown residual_norm '{residual_norm}'; choose one of {', '.join(RESIDUAL_NORMS)}.")
        self.scoring_shape = self.image_shape
        self.residual_norm = residual_norm
        self.residual_statistics = []
        if self.needs_adapt:
            height, width, channels = self.image_shape
            if height % GRID or width % GRID:
                raise ValueError(
                    f"residual_norm='{residual_norm}' needs a height and width that are multiples of {GRID}, and the "
                    f"generator's are {height, width}; choose another norm or size."
                )
            count = GRID**2 * channels
            # NaN until `adapt`: no score can be mistaken for one.
            unknown = keras.initializers.Constant(float("nan"))
            self.residual_statistics = [
                self.add_weight(shape, initializer=unknown, trainable=False, name=name)
                for shape, name in (((count,), "residual_mean"), ((count, count), "residual_whitening"))
            ]
        # One graph for batches of any size.
        self._score_of_batch, self._features_of_batch = (
            tf.function(function, reduce_retracing=True, autograph=False)
            for function in (
                self.scores_of_batch,
                lambda batch: residual_features(batch, self(batch)),
            )
        )

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Reconstructs images, x̂ = G(x), same shape and range."""
        network = self.generator if training else self.scoring_generator
        return in_float32(network(images, training=training))

    def anomaly_score(self, images: Any, batch_size: int = SCORING_BATCH_SIZE) -> tf.Tensor:
        """A(x) of each image, by default ‖x − G(x)‖₂, by the moving statistics: it does not depend on the batch.

        Args:
            images: float (images, height, width, channels) in [-1, 1], an array or tensor; or a `tf.data.Dataset` of
                batches of them.
            batch_size: images that are scored at a time.

        Returns:
            float (images,), higher is more abnormal.

        Raises:
            ValueError: the score needs `adapt`, which has not been called.
        """
        if not tf.executing_eagerly():
            return self.scores_of_batch(images)
        if self.needs_adapt and not np.isfinite(keras.ops.convert_to_numpy(self.residual_statistics[0])).all():
            raise ValueError(
                f"residual_norm='{self.residual_norm}' compares images with normal ones, and this model has not seen "
                "any: call model.adapt(normal_images) after fit()."
            )
        return tf.concat(
            [self._score_of_batch(batch) for batch in batches_of(images, batch_size, self.scoring_shape)], axis=0
        )

    def reconstruct_and_score(self, images: tf.Tensor, batch_statistics: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Reconstructions and anomaly scores, from one pass over one batch; no statistics move.

        Args:
            images: float (batch, height, width, channels) in [-1, 1].
            batch_statistics: whether to normalise by the batch, as the family's code does; then a score depends on
                the other images.

        Returns:
            Like `images`, and float (batch,), higher is more abnormal; NaN where `adapt` is missing.
        """
        reconstruction = call_keeping_statistics(self.scoring_generator, images, batch_statistics)
        return reconstruction, self._score(images, reconstruction)

    def scores_of_batch(self, images: tf.Tensor) -> tf.Tensor:
        """Anomaly scores of one batch by the moving statistics; see `reconstruct_and_score`."""
        return self.reconstruct_and_score(images)[1]

    def adapt(self, images: Any, batch_size: int = SCORING_BATCH_SIZE) -> None:
        """Learns what residuals of normal images are like, where the score depends on it; else does nothing.

        Call it after training, with images that the model was trained on. The images that a threshold is chosen on
        must be others: among those that say what is usual, an image is less unusual than a new one.

        Args:
            images: normal ones, float (images, height, width, channels) in [-1, 1], an array or tensor; or a
                `tf.data.Dataset` or another iterator of batches of them. Residuals that are not finite change nothing.
            batch_size: images at a time.
        """
        if not self.needs_adapt:
            return
        features = np.concatenate(
            [self._features_of_batch(batch) for batch in batches_of(images, batch_size, self.scoring_shape)]
        )
        if np.isfinite(features).all():
            for variable, value in zip(self.residual_statistics, fit_mahalanobis(features), strict=True):
                variable.assign(value)

    @property
    def needs_adapt(self) -> bool:
        """Whether the score depends on what residuals of normal images are like."""
        return self.residual_norm in ("mahalanobis", "combined")

    def _score(self, images: tf.Tensor, reconstruction: tf.Tensor) -> tf.Tensor:
        if self.residual_norm == "combined":
            return combined_norm(images, reconstruction, *self.residual_statistics)
        if self.residual_norm == "mahalanobis":
            return mahalanobis_norm(residual_features(images, reconstruction), *self.residual_statistics)
        norm = smoothed_norm if self.residual_norm == "smoothed" else reconstruction_norm
        return norm(images, reconstruction)

    @property
    def scoring_size(self) -> tuple[int, int]:
        """Height and width in pixels of the images that are scored."""
        return self.scoring_shape[0], self.scoring_shape[1]

    @property
    def score_statistics(self) -> list[keras.Variable]:
        """What `adapt` learns."""
        return self.residual_statistics

    @property
    def scoring_variables(self) -> list[keras.Variable]:
        """What scores depend on."""
        return [*self.scoring_generator.variables, *self.score_statistics]


def batches_of(images: Any, batch_size: int, shape: tuple[int, ...]) -> Iterator[tf.Tensor]:
    """Batches of images, of an array or of what gives batches; of pairs of images and labels the images alone.

    Args:
        images: float (images, *shape) in [-1, 1], or a `tf.data.Dataset` or another iterator of batches of them.
        batch_size: images in a batch of an array.
        shape: height, width and channels that images must have.

    Yields:
        float32 (batch, *shape).

    Raises:
        ValueError: they are no images of the shape.
    """
    if isinstance(images, (tf.data.Dataset, Iterator)):
        for batch in images:
            yield _checked(batch[0] if isinstance(batch, tuple) else batch, shape)
        return
    images = _checked(images if tf.is_tensor(images) else np.asarray(images), shape)
    if not len(images):
        raise ValueError("There are no images: the array is empty.")
    for start in range(0, len(images), batch_size):
        yield tf.cast(images[start : start + batch_size], tf.float32)


def _checked(images: Any, shape: tuple[int, ...]) -> Any:
    if tuple(images.shape[1:]) != tuple(shape):
        raise ValueError(
            f"Images have shape {tuple(images.shape)}; they must be (images, {', '.join(map(str, shape))}). "
            "A single image has an axis of length 1 in front."
        )
    require_floats(images)
    return images
