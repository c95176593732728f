"""What the replicas of a training step do together."""

import keras
import tensorflow as tf


def assign(variables: list[keras.Variable], values: list[tf.Tensor]) -> None:
    """Gives variables their values in every replica; a replica alone may not write what all of them share."""

    def update(strategy: tf.distribute.Strategy, values: list[tf.Tensor]) -> None:
        for variable, value in zip(variables, values, strict=True):
            strategy.extended.update(variable.value, lambda v, new: v.assign(new), args=(value,), group=False)

    tf.distribute.get_replica_context().merge_call(update, args=(values,))


def overflown_in_all_replicas_or_none(gradients: list[tf.Tensor]) -> list[tf.Tensor]:
    """Gradients that are not finite in this replica if they are not in any.

    A LossScaleOptimizer asks one replica whether to take the step, before gradients are added.
    """
    finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients])
    overflows = tf.distribute.get_replica_context().all_reduce(
        tf.distribute.ReduceOp.SUM, tf.cast(tf.logical_not(finite), tf.float32)
    )
    first, *others = gradients
    return [tf.where(overflows > 0, float("nan"), first), *others]
