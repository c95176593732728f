"""The reset of the discriminator, GANomaly's rule: a D that can no longer be fooled teaches G nothing.

With its weights go its moving statistics and the state of its optimizer, but for the learning rate.
"""

import keras
import tensorflow as tf

from agad_tf.models.replicas import assign
from agad_tf.networks.initialization import draw_weights, has_distribution


def not_drawn(discriminator: keras.Model) -> list[keras.Variable]:
    """Variables that go back to the value they began with, as there is no distribution to draw them from.

    Such are the slopes of PReLU or the vectors of spectral normalisation, in networks that are not this package's.
    """
    return [
        variable
        for variable in discriminator.variables
        # An integer is the state of a random generator, which may go on.
        if not has_distribution(variable) and tf.as_dtype(variable.dtype).is_floating
    ]


def reset_discriminator(
    discriminator: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    initial_values: list[keras.Variable],
    seed: int,
    step: tf.Tensor,
) -> None:
    """Draws a discriminator again, in every replica.

    Args:
        discriminator: D.
        optimizer: of D, whose state begins at 0.
        initial_values: what the variables of `not_drawn` began with.
        seed: of the model.
        step: how many steps have been taken, int scalar. The seed of the drawing comes from it, and not from a
            generator with a state of its own: a resumed run, and every replica, draws the same weights.
    """
    drawn = [variable for variable in discriminator.variables if has_distribution(variable)]
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # of a LossScaleOptimizer
    state = [variable for variable in optimizer.variables if variable.name != "learning_rate"]
    assign(
        [*drawn, *not_drawn(discriminator), *state],
        [
            *draw_weights(drawn, tf.stack([seed, tf.cast(step, tf.int32)])),
            *(tf.convert_to_tensor(value) for value in initial_values),
            *(tf.zeros(variable.shape, variable.dtype) for variable in state),
        ],
    )
