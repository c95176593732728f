"""tf.data pipelines that make training batches from raw pixels."""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from agad_tf.config.errors import UsageError
from agad_tf.config.experiment import DEFAULTS
from agad_tf.data.scoring_batches import BATCHES_AHEAD, UNTUNED
from agad_tf.data.splits import NORMAL, Split
from agad_tf.data.synthetic_anomalies import synthesize
from agad_tf.data.training_inputs import TrainingInputs


class BatchPlan(NamedTuple):
    """The composition of a training batch, and the number of batches in an epoch."""

    normals: int
    anomalies: int
    synthetic: int
    kinds: tuple[str, ...]  # of the synthetic anomalies
    horizontal_flip: bool  # mirrors each image with a probability of one half
    steps_per_epoch: int

    @property
    def batch_size(self) -> int:
        """Images in a batch, of all kinds."""
        return self.normals + self.anomalies + self.synthetic


def batch_size_that_fits(
    train: Split,
    batch_size: int,
    min_anomalies: int,
    kinds: tuple[str, ...] = (),
    synthetic_share: float = DEFAULTS["synthetic_share"],
) -> tuple[int, int]:
    """Makes a batch smaller if the training set has too few normal images for it.

    Args:
        train: the training images.
        batch_size: images in a batch, as requested.
        min_anomalies: least number of anomalies in a batch, as requested.
        kinds: of synthetic anomalies; empty means none.
        synthetic_share: their share of a batch, in (0, 1).

    Returns:
        Batch size and least number of anomalies: as requested if they fit, otherwise the number of training images with
            the same share of anomalies.
    """
    normals, _, _ = _composition(train, batch_size, min_anomalies, kinds, synthetic_share)
    if normals <= np.sum(train.labels == NORMAL):
        return batch_size, min_anomalies
    if train.labels.any():
        min_anomalies = max(1, min_anomalies * len(train.labels) // batch_size)
    return len(train.labels), min_anomalies


def plan_batches(
    train: Split,
    batch_size: int,
    min_anomalies: int,
    replicas: int = 1,
    kinds: tuple[str, ...] = (),
    synthetic_share: float = DEFAULTS["synthetic_share"],
    horizontal_flip: bool = DEFAULTS["horizontal_flip"],
    least_steps: int = DEFAULTS["steps_per_epoch"],
) -> BatchPlan:
    """Divides a batch into normals and anomalies by their share of the training set, and at least `min_anomalies`.

    Args:
        train: the training images.
        batch_size: images in a batch; at least 2 if the training set has anomalies.
        min_anomalies: least number of anomalies in a batch, if the training set has any (Section 3.3.2).
        replicas: number of replicas that share a batch evenly.
        kinds: of synthetic anomalies, of `agad_tf.config.choices.SYNTHETIC_ANOMALIES`; empty means none.
        synthetic_share: their share of a batch, in (0, 1).
        horizontal_flip: whether images are mirrored left to right, each with a probability of one half.
        least_steps: in an epoch; if there are fewer batches, the epoch passes over the images several times.

    Returns:
        The plan; an epoch passes once over the normal images in whole batches, or several times for `least_steps`.

    Raises:
        UsageError: the training set has fewer normal images than one batch needs, or a replica would get no share of
            the batch or of its anomalies.
    """
    normal_count = int(np.sum(train.labels == NORMAL))
    share = 1 - normal_count / len(train.labels)
    normals, anomalies, synthetic = _composition(train, batch_size, min_anomalies, kinds, synthetic_share)
    if batch_size % replicas:
        raise UsageError(
            f"--batch_size={batch_size} cannot be shared evenly by {replicas} replicas; "
            f"choose a multiple of {replicas}."
        )
    if normals < 1 or (share and not anomalies):
        raise UsageError(
            f"{synthetic} synthetic anomalies leave no room for other images in a batch of --batch_size={batch_size}; "
            "raise it, or lower --synthetic_share."
        )
    if anomalies + synthetic and min(normals, anomalies + synthetic) < replicas:
        raise UsageError(
            f"A batch of {normals} normal images and {anomalies + synthetic} anomalies does not give each of "
            f"{replicas} replicas its share; raise --batch_size and --min_anomalies or use fewer devices."
        )
    if normals > normal_count:
        raise UsageError(
            f"A batch of --batch_size={batch_size} needs {normals} normal images, but the training set has "
            f"{normal_count}; choose a smaller --batch_size."
        )
    return BatchPlan(normals, anomalies, synthetic, kinds, horizontal_flip, max(normal_count // normals, least_steps))


def _composition(
    train: Split, batch_size: int, min_anomalies: int, kinds: tuple[str, ...], synthetic_share: float
) -> tuple[int, int, int]:
    """Number of normal images, labelled anomalies and synthetic anomalies in a batch."""
    share = 1 - np.sum(train.labels == NORMAL) / len(train.labels)
    synthetic = max(1, round(batch_size * synthetic_share)) if kinds else 0
    # At least one image is normal.
    most = max(batch_size - synthetic - 1, 0)
    anomalies = min(max(min_anomalies, round(batch_size * share)), most) if share else 0
    return batch_size - anomalies - synthetic, anomalies, synthetic


def training_batches(
    inputs: TrainingInputs,
    plan: BatchPlan,
    epochs: int,
    seed: int,
    first_epoch: int = 0,
    first_step: int = 0,
    context: tf.distribute.InputContext | None = None,
) -> tf.data.Dataset:
    """All batches of a training run, or of the rest of it, or a worker's part of them.

    The order within an epoch depends only on the seed and the epoch's number, so a resumed run, and a run with
    replicas, sees the same batches as an unbroken one.

    Args:
        inputs: from `training_inputs`.
        plan: from `plan_batches`.
        epochs: number of the epoch to end before.
        seed: of the order.
        first_epoch: number of the epoch to begin with.
        first_step: number of steps of that epoch to skip.
        context: the worker whose part is returned; by default all batches are.

    Returns:
        Dataset of images, float32 (batch, height, width, channels) in [-1, 1], and labels, float32 (batch,):
        `plan.anomalies` anomalies and `plan.synthetic` made from normal images, spread evenly among normals, and
        mirrored if the plan says so. If the inputs have masks, the dataset has them as well, float32 (batch, height,
        width, 1): those of labelled anomalies, NaN for other anomalies, 0 for normal images. With a context the
        elements are the batches of this worker's replicas one after the other: equal parts of a batch, each with its
        share of labelled and synthetic anomalies.
    """
    context = context or tf.distribute.InputContext()
    replicas = context.num_replicas_in_sync
    own_replicas = replicas // context.num_input_pipelines
    first_replica = context.input_pipeline_id * own_replicas
    replica_batch = (plan.normals + plan.anomalies + plan.synthetic) // replicas
    own_places = slice(first_replica * replica_batch, (first_replica + own_replicas) * replica_batch)
    abnormal = plan.normals + _spread_evenly(plan.anomalies, plan.synthetic)
    places = np.concatenate([np.arange(plan.normals), abnormal])[_spread_evenly(plan.normals, len(abnormal))]
    # Rows from here on repeat normal images, from which anomalies are made.
    first_synthetic = inputs.normals + inputs.anomalies

    @tf.autograph.experimental.do_not_convert
    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        epoch_seed = tf.random.fold_in(tf.constant([seed, 0], tf.int64), epoch)
        synthetic_seed = tf.random.fold_in(epoch_seed, -1)
        rows = tf.concat(
            [
                _order(inputs.normals, plan.steps_per_epoch, plan.normals, epoch_seed),
                _order(inputs.anomalies, plan.steps_per_epoch, plan.anomalies, epoch_seed) + inputs.normals,
                _order(inputs.normals, plan.steps_per_epoch, plan.synthetic, synthetic_seed) + first_synthetic,
            ],
            axis=1,
        )
        # One seed for each place, so that the result does not depend on which replica makes it.
        seeds = tf.random.stateless_uniform(tf.shape(rows), synthetic_seed, None, None, tf.int32)
        own = (tf.reshape(tf.gather(each, places[own_places], axis=1), (-1, replica_batch)) for each in (rows, seeds))
        return tf.data.Dataset.from_tensor_slices(tuple(own))

    def batch(rows: tf.Tensor, seeds: tf.Tensor) -> tuple[tf.Tensor, ...]:
        is_synthetic = rows >= first_synthetic
        images = inputs.of_rows(tf.where(is_synthetic, rows - first_synthetic, rows))
        if plan.synthetic:
            chosen = tf.where(is_synthetic)
            synthetic_seeds = tf.boolean_mask(seeds, is_synthetic)
            # Any other normal image; an only image is its own partner.
            steps = 1 + tf.math.floormod(synthetic_seeds, max(inputs.normals - 1, 1))
            own = tf.boolean_mask(rows, is_synthetic) - first_synthetic
            partners = inputs.of_rows(tf.math.floormod(own + steps, inputs.normals))
            made = synthesize(tf.gather_nd(images, chosen), partners, synthetic_seeds, plan.kinds)
            images = tf.tensor_scatter_nd_update(images, chosen, made)
        if plan.horizontal_flip:
            is_mirrored = (seeds < 0)[:, tf.newaxis, tf.newaxis, tf.newaxis]
            images = tf.where(is_mirrored, tf.image.flip_left_right(images), images)
        labels = tf.cast(rows >= inputs.normals, tf.float32)
        if inputs.masks_of is None:
            return images, labels
        masks = tf.zeros_like(images[..., :1]) + tf.where(is_synthetic, float("nan"), 0.0)[:, None, None, None]
        places = tf.where((rows >= inputs.normals) & ~is_synthetic)
        own_masks = inputs.masks_of(tf.gather_nd(rows, places) - inputs.normals)
        masks = tf.tensor_scatter_nd_update(masks, places, own_masks)
        if plan.horizontal_flip:
            masks = tf.where(is_mirrored, tf.image.flip_left_right(masks), masks)
        return images, labels, masks

    return (
        tf.data.Dataset.range(first_epoch, epochs)
        .flat_map(one_epoch)
        .skip(first_step * own_replicas)
        .map(batch, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(BATCHES_AHEAD)
        .with_options(UNTUNED)
    )


def _spread_evenly(normals: int, anomalies: int) -> np.ndarray:
    """Reorders a batch that lists normals first, so that equal parts of it have equal shares of each kind.

    Returns:
        int (normals + anomalies,): for each place in the batch, the number of its image in the list.
    """
    places = np.arange(normals + anomalies + 1) * anomalies // max(normals + anomalies, 1)
    is_anomaly = np.diff(places)
    return np.where(is_anomaly, normals + places[:-1], np.cumsum(1 - is_anomaly) - 1)


def _order(count: int, steps: int, per_step: int, seed: tf.Tensor) -> tf.Tensor:
    """The images of each batch of an epoch: all in random order, repeated in other orders until there are enough.

    Returns:
        int (steps, per_step), in [0, count).
    """
    rounds = math.ceil(steps * per_step / count) if count else 0
    shuffled = [
        tf.random.experimental.stateless_shuffle(tf.range(count), tf.random.fold_in(seed, turn))
        for turn in range(rounds)
    ]
    rows = tf.concat([*shuffled, tf.zeros(0, tf.int32)], axis=0)
    return tf.reshape(rows[: steps * per_step], (steps, per_step))
