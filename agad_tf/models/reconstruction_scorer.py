"""Anomaly scores of an adversarial model, from the residuals of reconstructions."""

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
    """A model that scores images by their reconstructions; subclasses define training.

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
                    f"residual_norm='{residual_norm}' needs a height and width that are multiples of {GRID}, but the "
                    f"generator's are {height, width}; choose another norm or size."
                )
            count = GRID**2 * channels
            # NaN until `adapt`, so that scores before it are recognisably invalid.
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
        """A(x) of each image, by default ‖x − G(x)‖₂, with moving statistics, so it does not depend on the batch.

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
                f"residual_norm='{self.residual_norm}' compares images with normal ones, but this model has not seen "
                "any: call model.adapt(normal_images) after fit()."
            )
        return tf.concat(
            [self._score_of_batch(batch) for batch in batches_of(images, batch_size, self.scoring_shape)], axis=0
        )

    def reconstruct_and_score(self, images: tf.Tensor, batch_statistics: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Reconstructions and anomaly scores of one batch, from one pass; moving statistics do not change.

        Args:
            images: float (batch, height, width, channels) in [-1, 1].
            batch_statistics: whether to normalise by the batch, like code of the GANomaly family; then a score depends
                on the other images.

        Returns:
            Like `images`, and float (batch,), higher is more abnormal; NaN before `adapt`.
        """
        reconstruction = call_keeping_statistics(self.scoring_generator, images, batch_statistics)
        return reconstruction, self._score(images, reconstruction)

    def scores_of_batch(self, images: tf.Tensor) -> tf.Tensor:
        """Anomaly scores of one batch by the moving statistics; see `reconstruct_and_score`."""
        return self.reconstruct_and_score(images)[1]

    def adapt(self, images: Any, batch_size: int = SCORING_BATCH_SIZE) -> None:
        """Learns the statistics of normal residuals if the score needs them; otherwise does nothing.

        Call it after training, with images that the model was trained on. Choose the threshold on other images, because
        the images of these statistics score lower than new ones.

        Args:
            images: normal ones, float (images, height, width, channels) in [-1, 1], an array or tensor; or a
                `tf.data.Dataset` or another iterator of batches of them. Images with residuals that are not finite are
                ignored.
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
        """Whether the score needs statistics of normal residuals."""
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
        """The variables that `adapt` sets."""
        return self.residual_statistics

    @property
    def scoring_variables(self) -> list[keras.Variable]:
        """The variables that scores depend on."""
        return [*self.scoring_generator.variables, *self.score_statistics]


def batches_of(images: Any, batch_size: int, shape: tuple[int, ...]) -> Iterator[tf.Tensor]:
    """Batches of images from an array or an iterable of batches; labels are dropped.

    Args:
        images: float (images, *shape) in [-1, 1], or a `tf.data.Dataset` or another iterator of batches of them.
        batch_size: images in a batch of an array.
        shape: height, width and channels that images must have.

    Yields:
        float32 (batch, *shape).

    Raises:
        ValueError: they are not images of the given shape.
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
