"""One interface for several optimizers, as Keras expects one."""

from typing import Any

import keras
import tensorflow as tf

from agad_tf.networks.keras_internals import schedule_of


class AllOptimizers:
    """The `model.optimizer` for callbacks: one learning rate for the optimizers of all networks.

    Setting it keeps the ratios of the rates. The optimizers themselves are built, saved and called one by one.

    Args:
        optimizers: of θ_g, whose learning rate is the one that is read; of θ_d; and of other networks.
    """

    name = "all_optimizers"
    built = True
    use_ema = False

    def __init__(self, *optimizers: keras.optimizers.Optimizer):
        self.optimizers = optimizers
        rates = [float(keras.ops.convert_to_numpy(optimizer.learning_rate)) for optimizer in optimizers]
        self._ratios = [rate / rates[0] if rates[0] else 1.0 for rate in rates]

    @property
    def learning_rate(self) -> Any:
        """The learning rate of G; an assigned value is scaled for the others by the ratio of their first rates."""
        return self.optimizers[0].learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: float) -> None:
        if any(schedule_of(getattr(each, "inner_optimizer", each)) is not None for each in self.optimizers):
            raise ValueError(
                "The learning rate of one network follows a schedule and cannot be set; give all optimizers a number, "
                "or remove the callback that sets it."
            )
        for optimizer, ratio in zip(self.optimizers, self._ratios, strict=True):
            optimizer.learning_rate = learning_rate * ratio

    @property
    def iterations(self) -> keras.Variable:
        """Number of steps of G; D's count starts again at each reset."""
        return self.optimizers[0].iterations

    @property
    def variables(self) -> list[keras.Variable]:
        """The variables of all optimizers."""
        return [variable for optimizer in self.optimizers for variable in optimizer.variables]

    def build(self, variables: Any) -> None:
        """Does nothing: each optimizer is built for its own weights when the model is compiled."""

    def get_config(self) -> dict[str, Any]:
        """The configuration of each, in their order."""
        return {"optimizers": [keras.saving.serialize_keras_object(optimizer) for optimizer in self.optimizers]}


@keras.saving.register_keras_serializable("agad_tf")
class ScheduleOfTraining(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule for D that continues after a reset, when D's optimizer counts steps from 0.

    Args:
        schedule: by the steps of training.
        generator_optimizer: which counts the steps of training; None until the model is compiled.
    """

    def __init__(self, schedule: Any, generator_optimizer: keras.optimizers.Optimizer | None = None):
        self.schedule = schedule
        self.generator_optimizer = generator_optimizer

    def __call__(self, step: Any) -> tf.Tensor:
        """The learning rate of a step; D's step comes after G's, which is already counted."""
        if self.generator_optimizer is None:
            return self.schedule(step)
        return self.schedule(tf.maximum(tf.convert_to_tensor(self.generator_optimizer.iterations) - 1, 0))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"schedule": keras.saving.serialize_keras_object(self.schedule)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "ScheduleOfTraining":
        """The schedule that `get_config` describes."""
        return cls(keras.saving.deserialize_keras_object(config["schedule"]))


def let_schedule_go_on(
    discriminator_optimizer: keras.optimizers.Optimizer, generator_optimizer: keras.optimizers.Optimizer
) -> None:
    """Makes a learning rate schedule of D, if it has one, count the steps of training.

    Args:
        discriminator_optimizer: of θ_d.
        generator_optimizer: of θ_g.
    """
    optimizer, counting = (
        getattr(each, "inner_optimizer", each) for each in (discriminator_optimizer, generator_optimizer)
    )
    schedule = schedule_of(optimizer)
    if isinstance(schedule, ScheduleOfTraining):
        schedule = schedule.schedule
    if schedule is not None:
        optimizer.learning_rate = ScheduleOfTraining(schedule, counting)
