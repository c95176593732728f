"""Operations that all replicas of a training step perform together."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf


def all_finite(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Whether all numbers of all tensors are finite; bool scalar. Integers are always finite."""
    floats = [tensor for tensor in tensors if tensor.dtype.is_floating]
    return tf.reduce_all([tf.reduce_all(tf.math.is_finite(tensor)) for tensor in floats])


def everywhere(holds: tf.Tensor) -> tf.Tensor:
    """Whether something holds in every replica; bool scalar, the same in all of them."""
    return sum_over_replicas(tf.cast(tf.logical_not(holds), tf.float32)) == 0


def sum_over_replicas(value: Any) -> Any:
    """The sum of a tensor, or of each tensor of a list, over all replicas; the same in all of them."""
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, value)


def where_all_agree(condition: tf.Tensor, branch: Callable[..., None], *args: Any) -> None:
    """Runs a branch in every replica, or in none.

    Args:
        condition: bool scalar, the same in all replicas.
        branch: changes variables, and may communicate between replicas, which `tf.cond` in a replica cannot.
        args: of the branch.
    """

    def decide(strategy: tf.distribute.Strategy, condition: Any, *args: Any) -> None:
        def carry_out() -> tf.Tensor:
            strategy.extended.call_for_each_replica(branch, args)
            return tf.constant(0)

        tf.cond(strategy.experimental_local_results(condition)[0], carry_out, lambda: tf.constant(0))

    tf.distribute.get_replica_context().merge_call(decide, args=(condition, *args))


def assign(variables: list[keras.Variable], values: list[tf.Tensor]) -> None:
    """Assigns values to variables in every replica, because a single replica may not write shared variables."""

    def update(strategy: tf.distribute.Strategy, values: list[tf.Tensor]) -> None:
        for variable, value in zip(variables, values, strict=True):
            strategy.extended.update(variable.value, lambda v, new: v.assign(new), args=(value,), group=False)

    tf.distribute.get_replica_context().merge_call(update, args=(values,))


def assign_mean(variables: list[keras.Variable], values: list[tf.Tensor]) -> None:
    """Assigns the means over replicas to variables; integers are counts, and equal in all replicas."""
    pairs = list(zip(variables, values, strict=True))
    floats = [(variable, value) for variable, value in pairs if value.dtype.is_floating]
    counts = [(variable, value) for variable, value in pairs if not value.dtype.is_floating]
    if floats:
        replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        assign([variable for variable, _ in floats], sum_over_replicas([value / replicas for _, value in floats]))
    if counts:
        assign([variable for variable, _ in counts], [value for _, value in counts])


def apply_gradients(
    optimizer: keras.optimizers.Optimizer, gradients: list[tf.Tensor], variables: list[keras.Variable]
) -> None:
    """Applies an optimizer with the sum of the gradients over replicas, or lets it lower its loss scale."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        gradients = overflown_in_all_replicas_or_none(gradients)
    optimizer.apply(gradients, variables)


def overflown_in_all_replicas_or_none(gradients: list[tf.Tensor]) -> list[tf.Tensor]:
    """The gradients, with NaN in this replica if those of any replica are not finite.

    A LossScaleOptimizer decides in one replica whether to take the step, before gradients are summed.
    """
    first, *others = gradients
    return [tf.where(everywhere(all_finite(gradients)), first, float("nan")), *others]
