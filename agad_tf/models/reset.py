"""The reset of the discriminator, as in GANomaly: a perfect D teaches G nothing.

Its moving statistics and the state of its optimizer are reset too, except the learning rate.
"""

import keras
import tensorflow as tf

from agad_tf.models.replicas import assign
from agad_tf.networks.initialization import draw_weights, has_distribution


def not_drawn(discriminator: keras.Model) -> list[keras.Variable]:
    """Variables that return to their initial value, because they have no initial distribution.

    Examples are the slopes of PReLU or the vectors of spectral normalisation in users' networks.
    """
    return [
        variable
        for variable in discriminator.variables
        # Integers are states of random generators, which need no reset.
        if not has_distribution(variable) and tf.as_dtype(variable.dtype).is_floating
    ]


def reset_discriminator(
    discriminator: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    initial_values: list[keras.Variable],
    seed: int,
    step: tf.Tensor,
) -> None:
    """Gives a discriminator new random weights, in every replica.

    Args:
        discriminator: D.
        optimizer: of D, whose initial state is 0.
        initial_values: of the variables of `not_drawn`.
        seed: of the model.
        step: number of steps taken, int scalar. It determines the random seed, without a stateful generator, so a
            resumed run and all replicas draw the same weights.
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
