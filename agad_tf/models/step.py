"""What a training step computes before anything changes: one forward pass, both losses, and their gradients.

XLA can compile it, and every replica computes it by itself: for both reasons it reads no variable and writes none.
Values come in as one list of tensors, and what the forward pass would have written goes out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from agad_tf.models import losses
from agad_tf.models.replicas import all_finite, everywhere, sum_over_replicas

if TYPE_CHECKING:
    from collections.abc import Callable


class Gradients(NamedTuple):
    """What one replica has computed.

    Attributes:
        generator: of L_g, one for each of θ_g.
        discriminator: of L_d, one for each of θ_d.
        written: what the forward pass gives variables, such as moving statistics, by their place in the step's list.
        losses: by name, float (batch,) each.
        finite: bool scalar; gradients whose loss is scaled are left to the optimizer that scales it.
    """

    generator: list[tf.Tensor]
    discriminator: list[tf.Tensor]
    written: dict[str, tf.Tensor]
    losses: dict[str, tf.Tensor]
    finite: tf.Tensor


class Step(NamedTuple):
    """What one replica has computed, and what all of them found.

    Attributes:
        gradients: of this replica.
        finite: bool scalar, the same in all replicas: no replica has met a number that is not finite.
        discriminator_loss: L_d, float scalar, the same in all replicas: the mean over the images of all.
    """

    gradients: Gradients
    finite: tf.Tensor
    discriminator_loss: tf.Tensor


class StepComputer:
    """Computes steps of a model.

    Args:
        batch_losses: gives every loss of a batch by the names of `agad_tf.models.losses`, float (batch,) each, from
            images and labels.
        variables: all that the losses depend on, θ_g and θ_d among them.
        generator_weights: θ_g.
        discriminator_weights: θ_d.
        optimizers: of G and of D.
        jit_compile: whether XLA compiles the computation.
    """

    def __init__(
        self,
        batch_losses: Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]],
        variables: list[keras.Variable],
        generator_weights: list[keras.Variable],
        discriminator_weights: list[keras.Variable],
        optimizers: tuple[keras.optimizers.Optimizer, keras.optimizers.Optimizer],
        jit_compile: bool,
    ):
        self.batch_losses = batch_losses
        self.variables = variables
        place = {id(variable): number for number, variable in enumerate(variables)}
        self._places = [[place[id(weight)] for weight in own] for own in (generator_weights, discriminator_weights)]
        self.optimizers = optimizers
        self.compiles = jit_compile
        self._gradients = tf.function(self._compute, jit_compile=True) if jit_compile else self._compute

    def __call__(self, images: tf.Tensor, labels: tf.Tensor) -> Step:
        """Computes the step of a replica.

        A replica's losses are sums over its images, divided by the number of all replicas' images: the sum of its
        gradients over replicas is the gradient of the whole batch.

        Args:
            images: x, float (batch, height, width, channels) in [-1, 1].
            labels: float (batch,): 0 normal, 1 abnormal.
        """
        image_count = sum_over_replicas(tf.cast(tf.shape(images)[0], tf.float32))
        values = [tf.convert_to_tensor(variable) for variable in self.variables]
        gradients = self._gradients(images, labels, image_count, values)
        discriminator_loss = tf.reduce_sum(gradients.losses["discriminator_loss"]) / image_count
        return Step(gradients, everywhere(gradients.finite), sum_over_replicas(discriminator_loss))

    def written(self, step: Step) -> tuple[list[keras.Variable], list[tf.Tensor]]:
        """The variables that the forward pass writes, and their new values in this replica."""
        written = step.gradients.written
        return [self.variables[int(place)] for place in written], list(written.values())

    def _compute(
        self, images: tf.Tensor, labels: tf.Tensor, image_count: tf.Tensor, values: list[tf.Tensor]
    ) -> Gradients:
        weights = [[values[place] for place in places] for places in self._places]
        # Each tape watches one network alone, so that neither gradient goes back where it is not asked for.
        with (
            keras.StatelessScope(list(zip(self.variables, values, strict=True)), collect_losses=True) as scope,
            tf.GradientTape(watch_accessed_variables=False) as generator_tape,
            tf.GradientTape(watch_accessed_variables=False) as discriminator_tape,
        ):
            generator_tape.watch(weights[0])
            discriminator_tape.watch(weights[1])
            before = [scope.get_current_value(variable) for variable in self.variables]
            found = self.batch_losses(images, labels)
            generator_loss, discriminator_loss = (
                optimizer.scale_loss(tf.reduce_sum(found[name]) / image_count)
                for name, optimizer in zip(losses.BATCH_TERMS, self.optimizers, strict=True)
            )
        of_generator, of_discriminator = (
            tape.gradient(loss, own, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            for tape, loss, own in zip(
                (generator_tape, discriminator_tape), (generator_loss, discriminator_loss), weights, strict=True
            )
        )
        after = [scope.get_current_value(variable) for variable in self.variables]
        written = {
            str(place): new for place, (old, new) in enumerate(zip(before, after, strict=True)) if new is not old
        }
        unguarded = [
            gradient
            for own, optimizer in zip((of_generator, of_discriminator), self.optimizers, strict=True)
            if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
            for gradient in own
        ]
        finite = all_finite([*unguarded, *written.values(), *found.values()])
        return Gradients(of_generator, of_discriminator, written, found, finite)


def require_labels(labels: Any) -> None:
    """Looks at labels before the first step.

    Args:
        labels: an array or tensor, or None.

    Raises:
        ValueError: one is neither 0 nor 1.
    """
    if labels is None:
        return
    found = np.unique(np.asarray(labels))
    if not np.isin(found, (0, 1)).all():
        raise ValueError(
            f"Labels must be 0 for normal and 1 for abnormal images; among these are {found[:5].tolist()}."
        )


def read_batch(data: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Takes images and labels from what `fit` passes to a step.

    Args:
        data: images, or images and labels; without labels all images count as normal.

    Returns:
        Images as given, and labels, float (batch,): 0 normal, 1 abnormal.

    Raises:
        ValueError: there are weights, or more than one label for an image.
        tf.errors.InvalidArgumentError: a label is neither 0 nor 1.
    """
    images, labels, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    if sample_weight is not None:
        raise ValueError("AGAD's losses are weighted by label alone; leave out sample_weight and class_weight.")
    if labels is None:
        return images, tf.zeros(tf.shape(images)[:1])
    labels = tf.convert_to_tensor(labels)
    if labels.shape.rank is None or any(size != 1 for size in labels.shape[1:]):
        raise ValueError(
            f"Labels have shape {tuple(labels.shape)}; give one number for each image, 0 for normal and 1 for abnormal."
        )
    labels = tf.reshape(tf.cast(labels, tf.float32), [-1])
    are_labels = tf.debugging.Assert(
        tf.reduce_all(tf.logical_or(labels == 0, labels == 1)),
        ["Labels must be 0 for normal and 1 for abnormal images; these are", labels],
        summarize=8,
    )
    with tf.control_dependencies([are_labels] if are_labels is not None else []):
        return images, tf.identity(labels)
