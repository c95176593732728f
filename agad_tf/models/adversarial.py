"""Two networks that learn against each other, as a Keras model: all but what they learn.

A subclass says what a step of training is and what its losses are; see `agad_tf.models.agad`.
"""

from typing import Any

import keras
import tensorflow as tf

from agad_tf.models import losses
from agad_tf.models.network_copies import batch_normalizations, copy_of, image_shape_of
from agad_tf.models.optimizers import AllOptimizers, let_schedule_go_on
from agad_tf.models.replicas import assign, assign_mean
from agad_tf.models.reset import not_drawn, reset_discriminator
from agad_tf.models.step import Step, StepComputer, TrainedNetwork, read_batch, require_labels
from agad_tf.networks.keras_internals import BuiltByItsConstructor, all_layers, own_strategy
from agad_tf.networks.normalization import BatchNormalization

# What `compile` of a Keras model takes and this one cannot use, with what to give in its place.
_NOT_TAKEN = {
    "loss": "the losses are those of the method; weigh their terms with the constructor's loss_weights",
    "loss_weights": "weigh the terms of the losses with the constructor's loss_weights",
    "metrics": "predictions are images; compute metrics of model.anomaly_score(images)",
    "weighted_metrics": "predictions are images; compute metrics of model.anomaly_score(images)",
}


class AdversarialModel(BuiltByItsConstructor):
    """A generator and a discriminator with an optimizer each.

    Args:
        generator: G.
        discriminator: D.
        reinit_threshold: δ; D is drawn again when its loss on a batch falls below it. 0 never does.
        ema_momentum: of the exponential moving average of G's weights and statistics over the steps, in [0, 1); 0
            keeps none.
        seed: of the discriminators that are drawn again.
        dtype: of the model itself; each network has a policy of its own.
    """

    # Losses that are averaged over all images of a batch.
    batch_terms: tuple[str, ...] = losses.BATCH_TERMS

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        *,
        reinit_threshold: float,
        ema_momentum: float,
        seed: int,
        dtype: Any = "float32",
        **kwargs: Any,
    ):
        super().__init__(dtype=dtype, **kwargs)
        self.generator = generator
        self.discriminator = discriminator
        self.reinit_threshold = reinit_threshold
        self.ema_momentum = ema_momentum
        self.seed = seed
        self.image_shape = image_shape_of(generator)
        self.ema_generator = copy_of(generator, "ema_generator") if ema_momentum else None
        self.initial_values = [
            self.add_weight(variable.shape, initializer=value_of(variable), trainable=False, name="initial_value")
            for variable in not_drawn(discriminator)
        ]
        self.loss_means = {
            name: keras.metrics.Mean(name) for name in (*self.batch_terms, *losses.NORMAL_TERMS, *losses.ANOMALY_TERMS)
        }
        self.discriminator_resets = keras.metrics.Sum("discriminator_resets")
        self.skipped_steps = keras.metrics.Sum("skipped_steps")

    def build(self, input_shape: Any) -> None:
        """Notes the shape of images, for `export`; the networks are built already."""

    def batch_losses(self, images: tf.Tensor, labels: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """Every loss of a batch, by the names of `agad_tf.models.losses`, float (batch,) each.

        Args:
            images: float (batch, height, width, channels) in [-1, 1].
            labels: float (batch,): 0 normal, 1 abnormal.
            training: whether batch normalisation uses the statistics of the batch.
        """
        raise NotImplementedError

    def losses_of_step(self, *batch: tf.Tensor) -> dict[str, tf.Tensor]:
        """Every loss of a training step, from what `train_step` gives to `compute_step`: images and labels."""
        images, labels = batch
        return self.batch_losses(images, labels, training=True)

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

    @property
    def scoring_generator(self) -> keras.Model:
        """The generator that images are scored by: of averaged weights, if they are kept."""
        return self.ema_generator or self.generator

    # === Compiling ===

    def compile(
        self,
        generator_optimizer: Any = None,
        discriminator_optimizer: Any = None,
        jit_compile: bool | str = "auto",
        *,
        optimizer: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        auto_scale_loss: bool = True,
        **not_taken: Any,
    ) -> None:
        """Sets the two optimizers; by default Adam with the family's 2e-4 and β₁ 0.5.

        Args:
            generator_optimizer: of θ_g, an optimizer or its name.
            discriminator_optimizer: of θ_d, an optimizer or its name; one whose state begins at 0, as Adam's does, for
                a discriminator that is drawn again sets it back there. A learning rate schedule goes on all the same.
            jit_compile: whether XLA compiles the passes and gradients of a step, all that costs time; what replicas
                say to each other stays outside, as it must. Compiled replicas therefore cannot share the statistics
                of batch normalisation: each normalises by its own images. "auto" compiles on accelerators, unless
                that would be so.
            optimizer: in place of the first two, for both networks; each gets an optimizer of its own.
            run_eagerly: whether steps run line by line, to look at them.
            steps_per_execution: training steps that TensorFlow takes at a time.
            auto_scale_loss: whether the losses of a network that computes in float16 are scaled.
            **not_taken: the other arguments of `keras.Model.compile`, at their default None.

        Raises:
            ValueError: an argument that this model cannot use, or two that contradict each other.
        """
        for name, value in not_taken.items():
            if name not in _NOT_TAKEN:
                raise ValueError(f"compile() has no argument {name}.")
            if value is not None:
                raise ValueError(f"compile({name}=…) cannot be used here: {_NOT_TAKEN[name]}.")
        if run_eagerly and jit_compile is True:
            raise ValueError("jit_compile=True compiles what run_eagerly=True runs line by line; give one of them.")
        if optimizer is not None:
            if generator_optimizer is not None or discriminator_optimizer is not None:
                raise ValueError("optimizer= is for both networks; leave out the optimizers of each, or give those.")
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
                raise ValueError("Both networks have the same optimizer; give each one of its own, or use optimizer=.")
            self.generator_optimizer.build(self.generator_weights)
            self.discriminator_optimizer.build(self.discriminator_weights)
        let_schedule_go_on(self.discriminator_optimizer, self.generator_optimizer)
        super().compile(
            optimizer=self.generator_optimizer,
            jit_compile=False,  # of the whole step; the part that pays is compiled below
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            auto_scale_loss=False,
        )
        self.optimizer = AllOptimizers(*(own.optimizer for own in self.trained_networks.values()))
        self.jit_compile_asked = jit_compile
        self.compiles_gradients = not run_eagerly and (self._xla_pays() if jit_compile == "auto" else bool(jit_compile))
        for layer in self._batch_normalizations:
            if isinstance(layer, BatchNormalization):
                layer.synchronized = not self.compiles_gradients
        self.compute_step = StepComputer(
            lambda *batch: self._regularized(self.losses_of_step(*batch)),
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
        """On the CPUs measured so far TensorFlow's own kernels are faster."""
        shares_statistics = self.distribute_strategy.num_replicas_in_sync > 1 and bool(self._batch_normalizations)
        return self.trains_on_gpu and not shares_statistics

    @property
    def _batch_normalizations(self) -> list[keras.layers.BatchNormalization]:
        # In a .keras file these layers lie under the name of this property, the first that Keras finds them by.
        return [layer for network in self.networks for layer in batch_normalizations(network)]

    @property
    def _step_variables(self) -> list[keras.Variable]:
        """All that the losses of a step depend on, each once, though networks share some."""
        return list({id(v): v for network in self.networks for v in network.variables}.values())

    def get_compile_config(self) -> dict[str, Any]:
        """Both optimizers and how steps are run, for `keras.models.load_model` to go on training with."""
        names = ("generator_optimizer", "discriminator_optimizer", "run_eagerly", "steps_per_execution")
        settings = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in names}
        return {**settings, "jit_compile": self.jit_compile_asked}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles with what `get_compile_config` describes."""
        self.compile(**{name: keras.saving.deserialize_keras_object(value) for name, value in config.items()})

    @property
    def trained_networks(self) -> dict[str, TrainedNetwork]:
        """What learns, each with its loss, weights and optimizer."""
        return {
            "generator": TrainedNetwork("generator_loss", self.generator_weights, self.generator_optimizer),
            "discriminator": TrainedNetwork(
                "discriminator_loss", self.discriminator_weights, self.discriminator_optimizer
            ),
        }

    # === Fitting ===

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """As `keras.Model.fit`; labels `y` are 0 for normal and 1 for abnormal images, or None if all are normal."""
        require_labels(y)
        return super().fit(x, y, *args, **kwargs)

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, return_dict: bool = False, **kwargs: Any) -> Any:
        """As `keras.Model.evaluate`, with labels as in `fit`; gives every loss, "loss" first."""
        require_labels(y)
        results = super().evaluate(x, y, *args, return_dict=True, **kwargs)
        # These count what happens in training alone.
        found = {
            name: value for name, value in results.items() if name not in ("discriminator_resets", "skipped_steps")
        }
        return found if return_dict else list(found.values())

    def export(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """As `keras.Model.export`; Keras exports a model only after it has been built and called."""
        self.build((None, *self.image_shape))
        self(tf.zeros((1, *self.image_shape)))
        super().export(filepath, *args, **kwargs)

    # === What a step does beside its losses ===

    def update_statistics(self, step: Step) -> None:
        """Moves what the forward pass moves, such as the moving statistics of batch normalisation."""
        assign_mean(*self.compute_step.written(step))

    def update_ema_generator(self) -> None:
        """Moves the averaged generator towards G; the first steps move it further, as it knows less."""
        if self.ema_generator is None:
            return
        steps = tf.cast(tf.convert_to_tensor(self.generator_optimizer.iterations), tf.float32)
        momentum = tf.minimum(self.ema_momentum, (1 + steps) / (10 + steps))
        averages = self.ema_generator.variables
        assign(
            averages,
            [
                average + (1 - momentum) * (variable - average)
                if tf.as_dtype(variable.dtype).is_floating
                else tf.convert_to_tensor(variable)
                for average, variable in zip(averages, self.generator.variables, strict=True)
            ],
        )

    def reset_discriminator(self) -> None:
        """Draws D again."""
        reset_discriminator(
            self.discriminator,
            self.discriminator_optimizer,
            self.initial_values,
            self.seed,
            tf.convert_to_tensor(self.generator_optimizer.iterations),
        )

    def _regularized(self, found: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Adds the regularizers of a network's layers to its loss of each image."""
        for name, network in zip(losses.BATCH_TERMS, (self.generator, self.discriminator), strict=True):
            for regularization in network.losses:
                found[name] += regularization
        return found

    # === Metrics ===

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The means of an epoch; "loss" is the mean of L_g under Keras' own name."""
        return [*self.loss_means.values(), self.discriminator_resets, self.skipped_steps]

    def update_loss_means(self, labels: tf.Tensor, found: dict[str, tf.Tensor]) -> None:
        """Adds a batch to the epoch's means."""
        for name in self.batch_terms:
            self.loss_means[name].update_state(found[name])
        for name in losses.NORMAL_TERMS:
            self.loss_means[name].update_state(found[name], sample_weight=1 - labels)
        for name in losses.ANOMALY_TERMS:
            self.loss_means[name].update_state(found[name], sample_weight=labels)

    def count_step(self, taken: tf.Tensor, reset: tf.Tensor) -> None:
        """Counts a step that was left out, and a discriminator that was drawn again; both bool scalars."""
        replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        self.skipped_steps.update_state((1 - tf.cast(taken, tf.float32)) / replicas)
        self.discriminator_resets.update_state(tf.cast(reset, tf.float32) / replicas)

    def get_metrics_result(self) -> dict[str, tf.Tensor]:
        """What the epoch's metrics say so far.

        Losses are NaN until a step has been taken: no callback may take an epoch without steps for the best one.
        """
        results = super().get_metrics_result()
        taken = self.loss_means["generator_loss"].count > 0
        for name in self.loss_means:
            results[name] = tf.where(taken, results[name], float("nan"))
        return {"loss": results["generator_loss"], **results}

    def step_results(self) -> dict[str, tf.Tensor]:
        """What a step returns to Keras, which reads the metrics by itself at the end of an epoch."""
        results = self.get_metrics_result()
        if isinstance(self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
            # Keras takes the mean over workers along the first axis, which a scalar lacks.
            return {name: result[tf.newaxis] for name, result in results.items()}
        return results

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """The losses of a batch by the moving statistics, nothing learned."""
        images, labels = read_batch(data)
        values = [(variable, tf.convert_to_tensor(variable)) for variable in self._step_variables]
        with keras.StatelessScope(values, collect_losses=True):
            found = self._regularized(self.batch_losses(images, labels, training=False))
        self.update_loss_means(labels, found)
        return self.step_results()


def value_of(variable: keras.Variable) -> Any:
    """An initializer that gives the value that another variable has."""
    return lambda *_, **__: tf.identity(variable.value)


def _optimizer(given: Any, network: keras.Model, auto_scale_loss: bool) -> keras.optimizers.Optimizer:
    optimizer = keras.optimizers.Adam(2e-4, beta_1=0.5) if given is None else keras.optimizers.get(given)
    if getattr(optimizer, "use_ema", False):
        raise ValueError("An optimizer with use_ema averages weights that are never scored; give AGAD ema_momentum.")
    in_float16 = any(layer.compute_dtype == "float16" for layer in all_layers(network))
    if auto_scale_loss and in_float16 and not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer
