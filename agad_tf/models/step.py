"""A training step of an `AdversarialModel` in two halves: what it computes, and what it then changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import keras
import tensorflow as tf

from agad_tf.models import losses
from agad_tf.models.replicas import all_finite, assign, overflown_in_all_replicas_or_none
from agad_tf.networks.initialization import draw_weights

if TYPE_CHECKING:
    from agad_tf.models.adversarial import AdversarialModel


class Step(NamedTuple):
    """What a step computes before anything changes."""

    generator_gradients: list[tf.Tensor]
    discriminator_gradients: list[tf.Tensor]
    statistics: list[tf.Tensor]  # of batch normalisation, moved
    terms: dict[str, tf.Tensor]
    finite: tf.Tensor  # bool; gradients whose loss is scaled are left to the optimizer that scales it


def compute_step(
    model: AdversarialModel,
    images: tf.Tensor,
    labels: tf.Tensor,
    image_count: tf.Tensor,
    generator_weights: list[tf.Tensor],
    discriminator_weights: list[tf.Tensor],
    statistics: list[tf.Tensor],
) -> Step:
    """Forward and backward passes; changes no variable.

    Args:
        model: that is trained.
        images: x, float (batch, height, width, channels) in [-1, 1].
        labels: float (batch,): 0 normal, 1 abnormal.
        image_count: float scalar, images of all replicas' batches.
        generator_weights: values of `model.generator_weights`.
        discriminator_weights: values of D's trainable variables.
        statistics: values of `model.statistics`.
    """
    state = [
        *zip(model.generator_weights, generator_weights, strict=True),
        *zip(model.discriminator.trainable_variables, discriminator_weights, strict=True),
        *zip(model.statistics, statistics, strict=True),
    ]
    # Each tape watches one network alone, so that neither gradient goes back where it is not asked for.
    with (
        keras.StatelessScope(state) as scope,
        tf.GradientTape(watch_accessed_variables=False) as generator_tape,
        tf.GradientTape(watch_accessed_variables=False) as discriminator_tape,
    ):
        generator_tape.watch(generator_weights)
        discriminator_tape.watch(discriminator_weights)
        terms = model.terms(images, labels, training=True)
        optimizers = (model.generator_optimizer, model.discriminator_optimizer)
        generator_loss, discriminator_loss = (
            optimizer.scale_loss(tf.reduce_sum(terms[name]) / image_count)
            for name, optimizer in zip(losses.BATCH_TERMS, optimizers, strict=True)
        )
    generator_gradients = generator_tape.gradient(generator_loss, generator_weights)
    discriminator_gradients = discriminator_tape.gradient(discriminator_loss, discriminator_weights)
    statistics = [scope.get_current_value(variable) for variable in model.statistics]
    unguarded = [
        gradient
        for gradients, optimizer in zip((generator_gradients, discriminator_gradients), optimizers, strict=True)
        if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        for gradient in gradients
    ]
    finite = all_finite([*unguarded, *statistics, *terms.values()])
    return Step(generator_gradients, discriminator_gradients, statistics, terms, finite)


def learn(model: AdversarialModel, step: Step, labels: tf.Tensor, image_count: tf.Tensor) -> None:
    """Lines 12 and 13: applies what a step has computed, in every replica.

    Args:
        model: that is trained.
        step: from `compute_step`.
        labels: float (batch,): 0 normal, 1 abnormal.
        image_count: float scalar, images of all replicas' batches.
    """
    replica = tf.distribute.get_replica_context()
    for weights, optimizer, gradients in (
        (model.generator_weights, model.generator_optimizer, step.generator_gradients),  # line 12
        (
            model.discriminator.trainable_variables,
            model.discriminator_optimizer,
            step.discriminator_gradients,
        ),  # line 13
    ):
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            gradients = overflown_in_all_replicas_or_none(gradients)  # noqa: PLW2901
        optimizer.apply(gradients, weights)
    statistics, discriminator_loss = replica.all_reduce(
        tf.distribute.ReduceOp.SUM,
        [
            [value / replica.num_replicas_in_sync for value in step.statistics],
            tf.reduce_sum(step.terms["discriminator_loss"]) / image_count,
        ],
    )
    assign(model.statistics, statistics)
    if model.averages:
        _move_averages(model)
    _draw_discriminator_anew(model, discriminator_loss < model.reinit_threshold)  # δ
    model.update_loss_means(labels, step.terms)


def _move_averages(model: AdversarialModel) -> None:
    """Moves the averages of G towards what it is after the step; the first ones move further, as they know less."""
    steps = tf.cast(model.generator_optimizer.iterations.value, tf.float32)
    momentum = tf.minimum(model.ema_momentum, (1 + steps) / (10 + steps))
    pairs = zip(model.averages, model.generator.variables, strict=True)
    assign(model.averages, [average + (1 - momentum) * (variable - average) for average, variable in pairs])


def _draw_discriminator_anew(model: AdversarialModel, collapsed: tf.Tensor) -> None:
    """GANomaly's rule: a D that can no longer be fooled teaches G nothing, so it starts again.

    With its weights go its moving statistics and its optimizer's state, but for the learning rate.
    """
    optimizer = model.discriminator_optimizer
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # of a LossScaleOptimizer
    variables = model.discriminator.variables
    state = [v for v in optimizer.variables if v.name != "learning_rate"]
    # The seed comes from the step, not from a generator with a state of its own: a resumed run, and
    # every replica, draws the same weights.
    step = tf.cast(model.generator_optimizer.iterations.value, tf.int32)
    values = tf.cond(
        collapsed,
        lambda: (
            draw_weights(variables, tf.stack([model.seed, step]))
            + [tf.zeros(variable.shape, variable.dtype) for variable in state]
        ),
        lambda: [tf.identity(variable.value) for variable in [*variables, *state]],
    )
    assign([*variables, *state], values)
    resets = tf.cast(collapsed, tf.float32) / model.distribute_strategy.num_replicas_in_sync
    model.discriminator_resets.update_state(resets)
