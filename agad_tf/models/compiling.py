"""Compilation of adversarial models: an optimizer for each network, and compilation by XLA."""

from typing import Any

import keras
import tensorflow as tf

from agad_tf.models.network_copies import batch_normalizations
from agad_tf.models.optimizers import AllOptimizers, let_schedule_go_on
from agad_tf.models.step import StepComputer, TrainedNetwork
from agad_tf.networks.keras_internals import BuiltByItsConstructor, all_layers, own_strategy
from agad_tf.networks.normalization import BatchNormalization

# Arguments of Keras' `compile` that this model cannot use, and their alternatives.
_NOT_TAKEN = {
    "loss": "the method defines the losses; weight their terms with the constructor's loss_weights",
    "loss_weights": "weigh the terms of the losses with the constructor's loss_weights",
    "metrics": "predictions are images; compute metrics of model.anomaly_score(images)",
    "weighted_metrics": "predictions are images; compute metrics of model.anomaly_score(images)",
}


class CompiledModel(BuiltByItsConstructor):
    """A generator and a discriminator, each with an optimizer; a subclass defines the networks and their losses."""

    generator: keras.Model
    discriminator: keras.Model

    @property
    def networks(self) -> list[keras.Model]:
        """All networks that are trained."""
        return [self.generator, self.discriminator]

    @property
    def generator_weights(self) -> list[keras.Variable]:
        """θ_g."""
        return list(self.generator.trainable_variables)

    @property
    def discriminator_weights(self) -> list[keras.Variable]:
        """θ_d."""
        return list(self.discriminator.trainable_variables)

    def losses_of_step(self, *batch: tf.Tensor) -> dict[str, tf.Tensor]:
        """Every loss of a training step, float (batch,) each, from what `train_step` gives to `compute_step`."""
        raise NotImplementedError

    def regularized(self, found: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Adds the regularizers of a network's layers to its loss of each image."""
        for name, network in (("generator_loss", self.generator), ("discriminator_loss", self.discriminator)):
            for regularization in network.losses:
                found[name] += regularization
        return found

    def compile(
        self,
        generator_optimizer: Any = None,
        discriminator_optimizer: Any = None,
        jit_compile: bool | str = "auto",
        *,
        optimizer: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        synchronized_batch_norm: bool = False,
        auto_scale_loss: bool = True,
        **not_taken: Any,
    ) -> None:
        """Sets the two optimizers; by default Adam with the family's 2e-4 and β₁ 0.5.

        Args:
            generator_optimizer: of θ_g, an optimizer or its name.
            discriminator_optimizer: of θ_d, an optimizer or its name; its initial state must be 0, like Adam's, because
                a reset of D sets it to 0. A learning rate schedule continues.
            jit_compile: whether XLA compiles the passes and gradients of a step. Communication between replicas cannot
                be compiled. "auto" compiles on accelerators, except with replicas that share statistics.
            optimizer: for both networks, instead of the first two; each network gets its own copy.
            run_eagerly: whether steps run without a graph, for debugging.
            steps_per_execution: training steps in one execution of the graph.
            synchronized_batch_norm: whether replicas normalise by the statistics of the global batch, so that several
                replicas compute what one computes. By default each normalises by its own images, as Keras' layer does.
            auto_scale_loss: whether to scale the losses of networks that compute in float16.
            **not_taken: other arguments of `keras.Model.compile`, which must be None.

        Raises:
            ValueError: an argument that this model cannot use, or two that contradict each other.
        """
        for name, value in not_taken.items():
            if name not in _NOT_TAKEN:
                raise ValueError(f"compile() has no argument {name}.")
            if value is not None:
                raise ValueError(f"compile({name}=…) cannot be used here: {_NOT_TAKEN[name]}.")
        if not isinstance(steps_per_execution, int) or steps_per_execution < 1:
            raise ValueError(f"steps_per_execution is {steps_per_execution!r}; give a whole number of at least 1.")
        if run_eagerly and jit_compile is True:
            raise ValueError("jit_compile=True contradicts run_eagerly=True; give only one of them.")
        if synchronized_batch_norm and jit_compile is True:
            raise ValueError(
                "jit_compile=True cannot compile the communication of synchronized_batch_norm=True; give only one of "
                "them."
            )
        if optimizer is not None:
            if generator_optimizer is not None or discriminator_optimizer is not None:
                raise ValueError(
                    "optimizer= is for both networks; give either optimizer= or one optimizer for each network."
                )
            generator_optimizer = keras.optimizers.get(optimizer)
            discriminator_optimizer = type(generator_optimizer).from_config(generator_optimizer.get_config())
        with self.distribute_strategy.scope():
            self.generator_optimizer, self.discriminator_optimizer = (
                _optimizer(given, network, auto_scale_loss)
                for given, network in (
                    (generator_optimizer, self.generator),
                    (discriminator_optimizer, self.discriminator),
                )
            )
            if self.generator_optimizer is self.discriminator_optimizer:
                raise ValueError("Both networks have the same optimizer; give each its own, or use optimizer=.")
            self.generator_optimizer.build(self.generator_weights)
            self.discriminator_optimizer.build(self.discriminator_weights)
        let_schedule_go_on(self.discriminator_optimizer, self.generator_optimizer)
        super().compile(
            optimizer=self.generator_optimizer,
            jit_compile=False,  # of the whole step; the part that becomes faster is compiled below
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            auto_scale_loss=False,
        )
        self.optimizer = AllOptimizers(*(own.optimizer for own in self.trained_networks.values()))
        self.jit_compile_asked, self.auto_scale_loss = jit_compile, auto_scale_loss
        self.synchronized_batch_norm = synchronized_batch_norm
        for layer in self._batch_normalizations:
            if isinstance(layer, BatchNormalization):
                layer.synchronized = synchronized_batch_norm
        self.compiles_gradients = not run_eagerly and (self._xla_pays() if jit_compile == "auto" else bool(jit_compile))
        self.compute_step = StepComputer(
            lambda *batch: self.regularized(self.losses_of_step(*batch)),
            self._step_variables,
            self.trained_networks,
            self.compiles_gradients,
        )

    @property
    def trains_on_gpu(self) -> bool:
        """Whether steps run on GPUs: those of the strategy, or without one those of the machine."""
        strategy = own_strategy(self)
        if strategy is None:
            return bool(tf.config.list_physical_devices("GPU"))
        return "GPU" in strategy.extended.worker_devices[0]

    def _xla_pays(self) -> bool:
        """On all measured CPUs, TensorFlow's own kernels are faster; XLA cannot compile messages within a step."""
        return self.trains_on_gpu and not self.shares_statistics

    @property
    def shares_statistics(self) -> bool:
        """Whether several replicas share the statistics of batch normalisation."""
        several = self.distribute_strategy.num_replicas_in_sync > 1
        return several and any(layer.synchronized for layer in self._batch_normalizations)

    @property
    def _batch_normalizations(self) -> list[keras.layers.BatchNormalization]:
        # A .keras file stores these layers under the name of this property, the first under which Keras finds them.
        return [layer for network in self.networks for layer in batch_normalizations(network)]

    @property
    def _step_variables(self) -> list[keras.Variable]:
        """All variables that the losses of a step depend on, each once, even if networks share it."""
        return list({id(v): v for network in self.networks for v in network.variables}.values())

    def get_compile_config(self) -> dict[str, Any]:
        """The optimizers and settings of steps, so that a loaded model can be trained further."""
        if not self.compiled:
            return {}
        names = (
            "generator_optimizer",
            "discriminator_optimizer",
            "run_eagerly",
            "steps_per_execution",
            "synchronized_batch_norm",
            "auto_scale_loss",
        )
        settings = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in names}
        return {**settings, "jit_compile": self.jit_compile_asked}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles with what `get_compile_config` describes."""
        self.compile(**{name: keras.saving.deserialize_keras_object(value) for name, value in config.items()})

    @property
    def trained_networks(self) -> dict[str, TrainedNetwork]:
        """The networks that are trained, each with its loss, weights and optimizer."""
        return {
            "generator": TrainedNetwork("generator_loss", self.generator_weights, self.generator_optimizer),
            "discriminator": TrainedNetwork(
                "discriminator_loss", self.discriminator_weights, self.discriminator_optimizer
            ),
        }


def _optimizer(given: Any, network: keras.Model, auto_scale_loss: bool) -> keras.optimizers.Optimizer:
    optimizer = keras.optimizers.Adam(2e-4, beta_1=0.5) if given is None else keras.optimizers.get(given)
    if getattr(optimizer, "use_ema", False):
        raise ValueError("The averages of an optimizer with use_ema are never scored; give AGAD ema_momentum instead.")
    in_float16 = any(layer.weights and layer.compute_dtype == "float16" for layer in all_layers(network))
    if auto_scale_loss and in_float16 and not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer
