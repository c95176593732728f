"""AGAD that learns from normal images to restore local anomalies and to classify each pixel as normal or abnormal."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import zip_longest
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from agad_tf.config.choices import SIZE_MULTIPLE
from agad_tf.data.altered_windows import alter_windows
from agad_tf.data.crops import at_size, crops_at_scales, sizes_at_scales
from agad_tf.data.light import vary_light
from agad_tf.data.local_anomalies import add_local_anomalies
from agad_tf.data.training_windows import window_of
from agad_tf.models import losses
from agad_tf.models.agad import AGAD
from agad_tf.models.forward_passes import Passes
from agad_tf.models.looks import Look, reach_for_tiles
from agad_tf.models.network_copies import in_float32, resized_to
from agad_tf.models.peak_score import PeakScore, part_names
from agad_tf.models.reconstruction_scorer import batches_of
from agad_tf.models.replicas import apply_gradients
from agad_tf.models.step import Step, TrainedNetwork, read_batch_and_masks, unknown_where
from agad_tf.models.tiles import TILE
from agad_tf.models.whole_image import looks_at

STRUCTURAL_WEIGHT = 10.0
# Weight of the loss of anomalies without masks, relative to the loss of pixels.
MASKLESS_WEIGHT = 0.1
ALIGNED = ("auto", "yes", "no")


@keras.saving.register_keras_serializable("agad_tf")
class SegmentingAGAD(AGAD):
    """`AGAD` with a third network, the segmenter, trained on local anomalies at known places in normal images.

    Training uses random crops of images, of the size of the networks' input, at random scales and with slightly varied
    light. `altered_share` of them get a local anomaly. G learns to restore them: x̂ = G(altered x) is compared with x
    by the contextual loss and 1 − SSIM. The segmenter sees the altered image and x̂, and learns which pixels were
    altered. This applies the principle of line 10, that an anomaly counts as fake, to each pixel.

    Labelled anomalies are not altered. The segmenter learns from their masks, or, without masks, that some pixels are
    abnormal. `fit` takes them as (images, labels) or, of a `tf.data.Dataset`, (images, labels, masks); masks are float
    (batch, height, width, 1): 1 abnormal, 0 normal; NaN in all pixels of an image without a mask.

    Images may be larger than the networks' input in training and in scoring, because all networks are convolutional.
    The score is that of `agad_tf.models.peak_score`; it needs `adapt` after `fit`.

    Args:
        generator: G.
        discriminator: D.
        segmenter: from `build_segmenter`, for the same size as the others; None trains without it.
        scoring_shape: height, width and channels of the images that are scored, multiples of 16; None means the
            networks' own.
        altered_share: share of the training images that are altered, in [0, 1]; 0 makes no local anomalies.
        scales: factors by which images are shrunk: 1 for full size, 2 for half, and so on. Scales at which they would
            be smaller than the networks' input are dropped.
        light: how much the light of training images varies, in [0, 1]; see `agad_tf.data.light`.
        aligned: whether each pixel has its own statistics of normal images: "yes" for parts in a fixture, "no" for
            surfaces; "auto" chooses by normal images.
        **kwargs: of `AGAD`; without pseudo-anomalies, because here G must keep its own reconstructions intact.

    Raises:
        ValueError: an argument out of its range.
    """

    # Least number of normal images for `adapt` that were not trained on.
    LEAST_UNSEEN = 4
    # About how many images get local anomalies, to find the weights of scales.
    MOST_ALTERED = 128
    # Side in pixels above which images are scored in tiles.
    LARGEST_TILE = TILE
    batch_terms = (*losses.BATCH_TERMS, "structural_loss", "segmentation_loss")

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        segmenter: keras.Model | None = None,
        *,
        scoring_shape: tuple[int, int, int] | None = None,
        altered_share: float = 0.8,
        scales: Sequence[int] = (1, 2, 4),
        light: float = 0.3,
        aligned: str = "auto",
        **kwargs: Any,
    ):
        super().__init__(generator, discriminator, **{**kwargs, "contextual_adversarial": False})
        _require_share("altered_share", altered_share)
        _require_share("light", light)
        if aligned not in ALIGNED:
            raise ValueError(f"Unknown aligned '{aligned}'; choose one of {', '.join(ALIGNED)}.")
        if not scales or any(scale < 1 for scale in scales):
            raise ValueError(
                f"Scales are {tuple(scales)}; give one or more whole numbers of at least 1, such as (1, 2)."
            )
        # The following is made after AGAD has been built.
        self.segmenter = segmenter
        self.altered_share, self.scales, self.light, self.aligned = altered_share, tuple(scales), light, aligned
        height, width, channels = scoring_shape or self.image_shape
        self.scoring_shape = (height, width, channels)
        self._crop = (self.image_shape[0], self.image_shape[1])
        self.sizes = sizes_at_scales((height, width), self._crop, self.scales, SIZE_MULTIPLE)
        # Height and width of the windows of large images that training uses; None for smaller images.
        self.training_window = window_of((height, width), self._crop, self.scales[len(self.sizes) - 1])
        networks = self.scoring_generator, segmenter
        self._generators = [resized_to(self.scoring_generator, size) for size in self.sizes]
        self._segmenters = [] if segmenter is None else [resized_to(segmenter, size) for size in self.sizes]
        self.whole_image_generator = resized_to(self.scoring_generator, (height, width))
        reach = reach_for_tiles(networks, self.LARGEST_TILE) if max(height, width) > self.LARGEST_TILE else None
        pairs = zip_longest(self._generators, self._segmenters)
        self._looks = [Look(pair, reach, self.LARGEST_TILE) for pair in pairs]
        self._whole_look = Look((self.whole_image_generator, None), reach, self.LARGEST_TILE)
        kinds = 1 if segmenter is None else 2
        self.part_names = part_names(self.scales[: len(self.sizes)], kinds)
        self.peak_score = PeakScore(self.add_weight, self.scoring_shape, self.sizes, kinds, aligned)
        self._maps_of_batch = tf.function(self._maps, reduce_retracing=True, autograph=False)

    # === Config ===

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, networks included."""
        segmenter = {} if self.segmenter is None else {"segmenter": keras.saving.serialize_keras_object(self.segmenter)}
        return {
            **super().get_config(),
            **segmenter,
            "scoring_shape": list(self.scoring_shape),
            "altered_share": self.altered_share,
            "scales": list(self.scales),
            "light": self.light,
            "aligned": self.aligned,
        }

    # === Training ===

    def compile(self, *args: Any, segmenter_optimizer: Any = None, **kwargs: Any) -> None:
        """As `AGAD.compile`, with an optimizer of the segmenter; by default Adam with 1e-3."""
        if self.segmenter is not None:
            self.segmenter_optimizer = keras.optimizers.get(segmenter_optimizer or keras.optimizers.Adam(1e-3))
            with self.distribute_strategy.scope():
                self.segmenter_optimizer.build(self.segmenter.trainable_variables)
        super().compile(*args, **kwargs)

    @property
    def networks(self) -> list[keras.Model]:
        """All networks that are trained."""
        return [*super().networks, *([] if self.segmenter is None else [self.segmenter])]

    @property
    def trained_networks(self) -> dict[str, TrainedNetwork]:
        """The networks that are trained, each with its loss, weights and optimizer."""
        if self.segmenter is None:
            return super().trained_networks
        weights = list(self.segmenter.trainable_variables)
        own = TrainedNetwork("segmentation_loss", weights, self.segmenter_optimizer)
        return {**super().trained_networks, "segmenter": own}

    def read_batch(self, data: Any) -> tuple[tf.Tensor, ...]:
        """The input of G and the segmenter, labels, the original images, and masks; see `_losses_of`."""
        images, labels, masks = read_batch_and_masks(data)
        seeds = self._seeds(tf.shape(images)[0])
        # Without a mask, the abnormal part of an anomaly is unknown, so the largest part is taken.
        known = ~tf.reduce_any(tf.math.is_nan(masks), axis=(1, 2, 3))
        abnormal = labels == 1
        sizes = sizes_at_scales(images.shape[1:3], self._crop, self.scales, SIZE_MULTIPLE)
        images, masks = crops_at_scales(images, masks, seeds, self._crop, sizes, abnormal & ~known)
        images = vary_light(images, seeds, self.light)
        altered, places = add_local_anomalies(images, tf.roll(images, 1, axis=0), seeds)
        # Some images of every batch are not altered, and neither are labelled anomalies.
        draws = tf.random.stateless_uniform(tf.shape(seeds), tf.stack([seeds[0], 1]))
        untouched = ((draws >= self.altered_share) | abnormal)[:, tf.newaxis, tf.newaxis, tf.newaxis]
        masks = tf.where(abnormal[:, tf.newaxis, tf.newaxis, tf.newaxis], masks, tf.where(untouched, 0.0, places))
        # A part of an abnormal image may be normal.
        labels = tf.where(abnormal & known, tf.reduce_max(masks, axis=(1, 2, 3)), labels)
        return tf.where(untouched, images, altered), labels, images, masks

    def losses_of_step(self, *batch: tf.Tensor) -> dict[str, tf.Tensor]:
        """Lines 3 to 10 with altered images as the input of G, and the segmenter's loss."""
        altered, labels, images, masks = batch
        return self._losses_of(altered, labels, images, masks, training=True)

    def batch_losses(self, images: tf.Tensor, labels: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """Every loss of unaltered images; see `AGAD.batch_losses`."""
        masks = tf.zeros_like(images[..., :1]) + unknown_where(labels)
        return self._losses_of(images, labels, images, masks, training)

    def _losses_of(
        self, altered: tf.Tensor, labels: tf.Tensor, images: tf.Tensor, masks: tf.Tensor, training: bool
    ) -> dict[str, tf.Tensor]:
        """Every loss.

        Args:
            altered: the input of G and the segmenter, float (batch, height, width, channels) in [-1, 1].
            labels: float (batch,): 0 normal, 1 abnormal.
            images: x, of the same shape; equal to `altered` for labelled anomalies.
            masks: float (batch, height, width, 1): 1 where the images are altered or abnormal, else 0; NaN everywhere
                for an image with only a label.
            training: whether batch normalisation uses the statistics of the batch.
        """
        reconstruction = self.generator(altered, training=training)
        said_of_images = self.discriminator(images, training=training)
        said_of_reconstruction = self.discriminator(reconstruction, training=training)
        found = self.losses_by_label(
            images, labels, Passes(reconstruction, reconstruction, *said_of_images, *said_of_reconstruction)
        )
        found["structural_loss"] = losses.structural_loss(images, reconstruction)
        found["generator_loss"] += (1 - labels) * STRUCTURAL_WEIGHT * found["structural_loss"]
        found["segmentation_loss"] = tf.zeros_like(labels)
        if self.segmenter is not None:
            # Otherwise G would learn to mark flaws for the segmenter.
            pair = tf.concat([altered, tf.stop_gradient(reconstruction)], axis=-1)
            logits = self.segmenter(pair, training=training)
            unknown = tf.reduce_any(tf.math.is_nan(masks), axis=(1, 2, 3))
            masks = tf.where(tf.math.is_nan(masks), 0.0, masks)
            found["segmentation_loss"] = tf.where(
                unknown, MASKLESS_WEIGHT * losses.highest_pixels_loss(logits), losses.focal_loss(logits, masks)
            )
        return found

    def update_networks(self, step: Step, labels: tf.Tensor) -> None:
        """The updates of all networks."""
        if self.segmenter is not None:
            weights = self.segmenter.trainable_variables
            apply_gradients(self.segmenter_optimizer, step.gradients.of["segmenter"], weights)
        super().update_networks(step, labels)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """The losses of a batch by the moving statistics; masks are ignored."""
        return super().test_step(data[:2] if isinstance(data, tuple) else data)

    def _seeds(self, count: tf.Tensor) -> tf.Tensor:
        """A seed for each image, int32 (count,), from the model's seed, the step and the replica."""
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        step = tf.cast(tf.convert_to_tensor(self.generator_optimizer.iterations), tf.int32)
        seed = tf.random.fold_in(tf.stack([self.seed, step]), replica)
        return tf.random.stateless_uniform([count], seed, None, None, tf.int32)

    # === Scoring ===

    @property
    def score_statistics(self) -> list[keras.Variable]:
        """The variables that `adapt` sets."""
        return self.peak_score.variables

    @property
    def scoring_variables(self) -> list[keras.Variable]:
        """The variables that scores depend on."""
        return [*super().scoring_variables, *([] if self.segmenter is None else self.segmenter.variables)]

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Reconstructs whole images, same shape and range."""
        if training or self._whole_look.tiles is None:
            return in_float32(self.whole_image_generator(images, training=training))
        return self._whole_look.reconstructions(images)

    def adapt(self, images: Any, batch_size: int = 16, unseen: Any = None) -> None:
        """Learns the statistics of normal images, and the weights of scales; see `agad_tf.models.peak_score`.

        Args:
            images: normal ones, float (images, *scoring_shape) in [-1, 1], an array; or a `tf.data.Dataset` or another
                iterator of batches of them, which need not fit into memory together.
            batch_size: images at a time, of an array.
            unseen: normal images that were not trained on, at least 4, in the same form; None means `images`. Their
                maps, and those of about `MOST_ALTERED` altered ones, are kept in memory until the end.
        """
        looks = [] if unseen is None else [looks_at(batch) for batch in self._batches(images, batch_size)]
        maps: list[list[np.ndarray]] = []
        altered: list[list[np.ndarray]] = []
        rng = np.random.default_rng(self.seed)
        for batch in self._batches(images if unseen is None else unseen, batch_size):
            looks.append(looks_at(batch))
            maps.append(self._arrays_of_maps(batch))
            if sum(len(each[0]) for each in altered) < self.MOST_ALTERED:
                altered.append(self._arrays_of_maps(alter_windows(np.asarray(batch), self._crop, self.sizes, rng)))
        by_scale = (list(zip(*each, strict=True)) for each in (maps, altered))
        self.peak_score.fit([np.concatenate(each) for each in zip(*looks, strict=True)], *by_scale)

    def reconstruct_and_score(self, images: tf.Tensor, batch_statistics: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Reconstructions and scores of whole images; see `AGAD.reconstruct_and_score`."""
        reconstruction, maps = self._look(images, batch_statistics)
        return reconstruction, self.peak_score.score(images, maps)

    def scores_of_batch(self, images: tf.Tensor) -> tf.Tensor:
        """Scores of whole images, as by `reconstruct_and_score`; large images take less memory."""
        return self.peak_score.score(images, self._maps(images))

    def score_and_map(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores and error maps, as by `reconstruct_score_and_map`; large images take less memory."""
        return self.peak_score.score_and_map(images, self._maps(images))

    def reconstruct_score_and_map(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Reconstructions, scores and error maps of whole images, from one pass.

        Args:
            images: float (batch, *scoring_shape) in [-1, 1].

        Returns:
            Like `images`; float (batch,); and `error_map`.
        """
        reconstruction, maps = self._look(images)
        return reconstruction, *self.peak_score.score_and_map(images, maps)

    def score_parts(self, images: np.ndarray, batch_size: int = 16) -> np.ndarray:
        """The parts of the score, float (images, parts), by the names of `part_names`."""
        batches = self._batches(np.asarray(images, np.float32), batch_size)
        return np.concatenate(
            [self.peak_score.standardized_parts(batch, self._maps_of_batch(batch)).numpy() for batch in batches]
        )

    def error_map(self, images: tf.Tensor) -> tf.Tensor:
        """The map whose peak is the local part of the score, float (images, height, width)."""
        return self.score_and_map(images)[1]

    def _maps(self, images: tf.Tensor) -> list[tf.Tensor]:
        """Residuals and segmentation maps (logits) at each scale, float (images, height, width, kinds)."""
        return self._at_scales(images, Look.maps)

    def _arrays_of_maps(self, images: Any) -> list[np.ndarray]:
        return [each.numpy() for each in self._maps_of_batch(images)]

    def _batches(self, images: Any, batch_size: int) -> Any:
        return batches_of(images, batch_size, self.scoring_shape)

    def _look(self, images: tf.Tensor, batch_statistics: bool = False) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Reconstructions of whole images, and their maps; see `_maps`."""
        found = self._at_scales(images, partial(Look.reconstructions_and_maps, batch_statistics=batch_statistics))
        reconstructions, maps = zip(*found, strict=True)
        if self.scoring_size in self.sizes:
            return reconstructions[self.sizes.index(self.scoring_size)], list(maps)
        return self._whole_look.reconstructions(images, batch_statistics), list(maps)

    def _at_scales(self, images: tf.Tensor, seen_by: Callable[[Look, tf.Tensor], Any]) -> list[Any]:
        found: list[Any] = []
        before: list[tf.Tensor] = []
        for look, size in zip(self._looks, self.sizes, strict=True):
            # A graph runs independent operations at once: two scales of tiles would need the memory of both.
            with tf.control_dependencies(before):
                found.append(seen_by(look, at_size(images, size)))
            before = [] if look.tiles is None else tf.nest.flatten(found[-1])
        return found


def _require_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is {value}; it must lie in [0, 1].")
