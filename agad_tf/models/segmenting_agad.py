"""AGAD that restores local anomalies and says of each pixel whether it is abnormal, from normal images alone."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from agad_tf.data.local_anomalies import add_local_anomalies
from agad_tf.models import losses
from agad_tf.models.agad import AGAD
from agad_tf.models.forward_passes import Passes
from agad_tf.models.network_copies import resized
from agad_tf.models.peak_score import PeakScore
from agad_tf.models.replicas import apply_gradients
from agad_tf.models.step import Step, TrainedNetwork, read_batch

STRUCTURAL_WEIGHT = 10.0
UNTOUCHED_SHARE = 0.2


@keras.saving.register_keras_serializable("agad_tf")
class SegmentingAGAD(AGAD):
    """`AGAD` with a third network, trained on local anomalies made from normal images, whose place is known.

    Every training image is cut to the networks' size at a random place; four in five are then altered locally. G is to
    restore them, x̂ = G(altered x) against x, by the contextual loss and 1 − SSIM. The segmenter sees the altered image
    beside x̂ and says of each pixel whether it was altered: the principle of line 10, an anomaly counts as fake, applied
    to each pixel.

    Images may be larger than the networks' input, in training as in scoring: all networks are convolutional. The score
    is that of `agad_tf.models.peak_score`; it needs `adapt` after `fit`.

    Args:
        generator: G.
        discriminator: D.
        segmenter: from `build_segmenter`, for the same size as the others.
        scoring_shape: height, width and channels of the images that are scored, multiples of 16; None is the networks'.
        **kwargs: of `AGAD`; pseudo-anomalies are left out, as what G makes of x is to be left as it is here.
    """

    batch_terms = (*losses.BATCH_TERMS, "structural_loss", "segmentation_loss")

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        segmenter: keras.Model,
        *,
        scoring_shape: tuple[int, int, int] | None = None,
        **kwargs: Any,
    ):
        super().__init__(generator, discriminator, **{**kwargs, "contextual_adversarial": False})
        # What follows is made after AGAD has been built.
        self.segmenter = segmenter
        height, width, channels = scoring_shape or self.image_shape
        self.scoring_shape = (height, width, channels)
        self.whole_image_generator, self.whole_image_segmenter = (
            network if self.scoring_shape == self.image_shape else resized(network, (height, width))
            for network in (self.scoring_generator, segmenter)
        )
        self.peak_score = PeakScore(self.add_weight, self.scoring_shape)
        self._maps_of_batch = tf.function(self._maps, reduce_retracing=True)

    # === Config ===

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, networks included."""
        return {
            **super().get_config(),
            "segmenter": keras.saving.serialize_keras_object(self.segmenter),
            "scoring_shape": list(self.scoring_shape),
        }

    # === Training ===

    def compile(self, *args: Any, segmenter_optimizer: Any = None, **kwargs: Any) -> None:
        """As `AGAD.compile`, with an optimizer of the segmenter; by default Adam with 1e-3."""
        self.segmenter_optimizer = keras.optimizers.get(segmenter_optimizer or keras.optimizers.Adam(1e-3))
        with self.distribute_strategy.scope():
            self.segmenter_optimizer.build(self.segmenter.trainable_variables)
        super().compile(*args, **kwargs)

    @property
    def networks(self) -> list[keras.Model]:
        """All networks that are trained."""
        return [*super().networks, self.segmenter]

    @property
    def trained_networks(self) -> dict[str, TrainedNetwork]:
        """What learns, each with its loss, weights and optimizer."""
        weights = list(self.segmenter.trainable_variables)
        own = TrainedNetwork("segmentation_loss", weights, self.segmenter_optimizer)
        return {**super().trained_networks, "segmenter": own}

    def read_batch(self, data: Any) -> tuple[tf.Tensor, ...]:
        """What G and the segmenter see, labels, the images as they are, and the masks of what was altered."""
        images, labels = read_batch(data)
        images = tf.convert_to_tensor(images)
        seeds = self._seeds(tf.shape(images)[0])
        height, width, _ = self.image_shape
        images = random_crops(images, seeds, (height, width))
        altered, masks = add_local_anomalies(images, tf.roll(images, 1, axis=0), seeds)
        # Some images stay as they are in every batch, and so do labelled anomalies.
        untouched = tf.random.stateless_uniform(tf.shape(seeds), tf.stack([seeds[0], 1])) < UNTOUCHED_SHARE
        untouched = (untouched | (labels == 1))[:, tf.newaxis, tf.newaxis, tf.newaxis]
        return tf.where(untouched, images, altered), labels, images, tf.where(untouched, 0.0, masks)

    def losses_of_step(self, *batch: tf.Tensor) -> dict[str, tf.Tensor]:
        """Lines 3 to 10 with altered images in the place of x where G sees it, and the segmenter's loss."""
        altered, labels, images, masks = batch
        return self._losses_of(altered, labels, images, masks, training=True)

    def batch_losses(self, images: tf.Tensor, labels: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """Every loss of images as they are; see `AGAD.batch_losses`."""
        return self._losses_of(images, labels, images, tf.zeros_like(images[..., :1]), training)

    def _losses_of(
        self, altered: tf.Tensor, labels: tf.Tensor, images: tf.Tensor, masks: tf.Tensor, training: bool
    ) -> dict[str, tf.Tensor]:
        reconstruction = self.generator(altered, training=training)
        said_of_images = self.discriminator(images, training=training)
        said_of_reconstruction = self.discriminator(reconstruction, training=training)
        found = self.losses_by_label(
            images, labels, Passes(reconstruction, reconstruction, *said_of_images, *said_of_reconstruction)
        )
        found["structural_loss"] = losses.structural_loss(images, reconstruction)
        found["generator_loss"] += (1 - labels) * STRUCTURAL_WEIGHT * found["structural_loss"]
        # What the segmenter learns from is no business of G: it would learn to leave traces.
        pair = tf.concat([altered, tf.stop_gradient(reconstruction)], axis=-1)
        verdicts = self.segmenter(pair, training=training)
        # Of a labelled anomaly without a mask nothing is known of a pixel.
        found["segmentation_loss"] = (1 - labels) * losses.focal_loss(verdicts, masks)
        return found

    def update_networks(self, step: Step, labels: tf.Tensor) -> None:
        """The updates of all three networks."""
        apply_gradients(self.segmenter_optimizer, step.gradients.of["segmenter"], self.segmenter.trainable_variables)
        super().update_networks(step, labels)

    def _seeds(self, count: tf.Tensor) -> tf.Tensor:
        """A seed for each image, int32 (count,), from the model's seed, the step and the replica."""
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        step = tf.cast(tf.convert_to_tensor(self.generator_optimizer.iterations), tf.int32)
        seed = tf.random.fold_in(tf.stack([self.seed, step]), replica)
        return tf.random.stateless_uniform([count], seed, None, None, tf.int32)

    # === Scoring ===

    def adapt(self, images: Any, batch_size: int = 16, unseen: Any = None) -> None:
        """Learns what is usual among normal images; see `agad_tf.models.peak_score`.

        Args:
            images: normal ones, float (images, *scoring_shape) in [-1, 1], an array.
            batch_size: images at a time.
            unseen: normal ones that no gradient came from, at least 4, an array; None takes `images`.
        """
        unseen = images if unseen is None else unseen
        self.peak_score.fit(self._with_maps(images, batch_size), self._with_maps(unseen, batch_size))

    def reconstruct_and_score(self, images: tf.Tensor, batch_statistics: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Reconstructions and scores of whole images; see `AGAD.reconstruct_and_score`."""
        reconstruction = self.whole_image_generator(images, training=batch_statistics)
        return reconstruction, self.peak_score.score(images, self._maps(images))

    def score_parts(self, images: np.ndarray, batch_size: int = 16) -> np.ndarray:
        """The parts of the score, float (images, 3), by the names of `agad_tf.models.peak_score.PARTS`."""
        pairs = self._with_maps(images, batch_size)
        return np.concatenate([self.peak_score.standardized_parts(batch, maps).numpy() for batch, maps in pairs])

    def error_map(self, images: tf.Tensor) -> tf.Tensor:
        """The map whose peak is the score, float (images, height, width): the larger of both standardised maps."""
        return tf.reduce_max(self.peak_score.standardized_maps(self._maps(images)), axis=-1)

    def _maps(self, images: tf.Tensor) -> tf.Tensor:
        """Residuals and verdicts of each pixel, float (images, height, width, 2)."""
        reconstruction = self.whole_image_generator(images, training=False)
        verdicts = self.whole_image_segmenter(tf.concat([images, reconstruction], axis=-1), training=False)
        residuals = tf.reduce_mean(tf.abs(images - reconstruction), axis=-1, keepdims=True)
        return tf.concat([residuals, tf.sigmoid(verdicts)], axis=-1)

    def _with_maps(self, images: Any, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(images), batch_size):
            batch = np.asarray(images[start : start + batch_size], np.float32)
            yield batch, self._maps_of_batch(batch).numpy()


def random_crops(images: tf.Tensor, seeds: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Cuts a part of each image at a random place.

    Args:
        images: float (batch, height, width, channels).
        seeds: int32 (batch,).
        size: height and width of the parts in pixels, at most those of the images.
    """
    if tuple(images.shape[1:3]) == tuple(size):
        return images

    def crop(pair: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        image, seed = pair
        return tf.image.stateless_random_crop(image, (*size, image.shape[-1]), tf.stack([seed, 2]))

    return tf.map_fn(crop, (images, seeds), fn_output_signature=tf.TensorSpec((*size, images.shape[-1]), images.dtype))
