"""Two networks that learn against each other: how a generator and a discriminator are trained in one step.

What they learn, the losses, is a subclass's own; see `agad_tf.models.agad`.
"""

import functools
from typing import Any

import keras
import tensorflow as tf

from agad_tf.models import losses
from agad_tf.models.replicas import everywhere, where_all_agree
from agad_tf.models.step import compute_step, learn
from agad_tf.networks.normalization import BatchNormalization


class AdversarialModel(keras.Model):
    """A generator and a discriminator with an optimizer each, both trained by one forward pass.

    A subclass says what its losses are, in `terms`.

    Args:
        generator: G.
        discriminator: D.
        reinit_threshold: δ; D is drawn anew when its loss on a batch falls below it. 0 never does.
        ema_momentum: of the exponential moving average of G's weights and statistics over the steps, in [0, 1); 0
            keeps none.
        seed: of the discriminators drawn anew.
    """

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        *,
        reinit_threshold: float,
        ema_momentum: float,
        seed: int,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.generator = generator
        self.discriminator = discriminator
        self.reinit_threshold = reinit_threshold
        self.ema_momentum = ema_momentum
        self.seed = seed
        self.averages = [
            self.add_weight(
                variable.shape, initializer=copy_of(variable), trainable=False, name=f"average_{variable.name}"
            )
            for variable in (generator.variables if ema_momentum else ())
        ]
        self.loss_means = {
            name: keras.metrics.Mean(name)
            for name in (*losses.BATCH_TERMS, *losses.NORMAL_TERMS, *losses.ANOMALY_TERMS)
        }
        self.discriminator_resets = keras.metrics.Sum("discriminator_resets")
        self.skipped_steps = keras.metrics.Sum("skipped_steps")

    def terms(self, images: tf.Tensor, labels: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """Every loss of a batch, by the names of `agad_tf.models.losses`, float (batch,) each.

        Args:
            images: float (batch, height, width, channels) in [-1, 1].
            labels: float (batch,): 0 normal, 1 abnormal.
            training: whether batch normalisation uses the statistics of the batch.
        """
        raise NotImplementedError

    def compile(
        self,
        generator_optimizer: keras.optimizers.Optimizer | None = None,
        discriminator_optimizer: keras.optimizers.Optimizer | None = None,
        jit_compile: bool | str = "auto",
        **kwargs: Any,
    ) -> None:
        """Sets the two optimizers; by default Adam with the family's 2e-4 and β₁ 0.5.

        Args:
            generator_optimizer: of θ_g; also the one that callbacks find as `model.optimizer`.
            discriminator_optimizer: of θ_d; one whose state begins at 0, as Adam's does, for a discriminator
                drawn anew sets it back there.
            jit_compile: whether XLA compiles the passes and gradients of a step, all that costs time; what
                replicas say to each other stays outside, as it must. Compiled replicas therefore cannot share
                the statistics of batch normalisation: each normalises by its own images. "auto" compiles on
                accelerators, unless that would be so.
            **kwargs: `steps_per_execution`, `run_eagerly` and others of `keras.Model.compile`. Losses are
                the paper's and cannot be given.
        """
        self.generator_optimizer = generator_optimizer or keras.optimizers.Adam(2e-4, beta_1=0.5)
        self.discriminator_optimizer = discriminator_optimizer or keras.optimizers.Adam(2e-4, beta_1=0.5)
        self.compiles_gradients = self._xla_pays() if jit_compile == "auto" else bool(jit_compile)
        super().compile(optimizer=self.generator_optimizer, jit_compile=False, **kwargs)
        self.generator_optimizer.build(self.generator_weights)
        self.discriminator_optimizer.build(self.discriminator.trainable_variables)
        for layer in self._batch_normalizations:
            layer.synchronized = not self.compiles_gradients
        compute = functools.partial(compute_step, self)
        self._compute_step = tf.function(compute, jit_compile=True) if self.compiles_gradients else compute

    def _maybe_symbolic_build(self, *_: Any, **__: Any) -> None:
        """Nothing is left to build. Keras would average the first batch over workers, which fails for two of them."""

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The means of an epoch; Keras' own "loss" is left out, as there are two losses here."""
        return [*self.loss_means.values(), self.discriminator_resets, self.skipped_steps]

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """One step of Algorithm 1: both networks learn from the same forward pass.

        A loss, gradient or statistic that is not a finite number reaches nothing: the step is left out and counted.
        Runs once in every replica. A replica's losses are sums over its images divided by the number of all
        replicas' images, so that the sum of its gradients over replicas is the gradient of the whole batch.
        """
        images, labels = _unpack(data)  # line 1
        replica = tf.distribute.get_replica_context()
        image_count = replica.all_reduce(tf.distribute.ReduceOp.SUM, tf.cast(tf.shape(images)[0], tf.float32))
        state = (self.generator_weights, self.discriminator.trainable_variables, self.statistics)
        values = ([tf.convert_to_tensor(variable) for variable in variables] for variables in state)
        step = self._compute_step(images, labels, image_count, *values)  # lines 2 to 10
        finite = everywhere(step.finite)
        where_all_agree(finite, functools.partial(learn, self), step, labels, image_count)
        self.skipped_steps.update_state((1 - tf.cast(finite, tf.float32)) / replica.num_replicas_in_sync)
        return self._results()

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """The losses of a batch by the moving statistics, nothing learned."""
        images, labels = _unpack(data)
        self.update_loss_means(labels, self.terms(images, labels, training=False))
        results = self._results()
        for name in ("discriminator_resets", "skipped_steps"):
            del results[name]
        return results

    def _results(self) -> dict[str, tf.Tensor]:
        results = self.get_metrics_result()
        if isinstance(self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
            # Keras takes the mean over workers along the first axis, which a scalar lacks.
            return {name: result[tf.newaxis] for name, result in results.items()}
        return results

    @property
    def trains_on_gpu(self) -> bool:
        """Whether steps run on GPUs: those of the strategy, or without one those of the machine."""
        if self._distribute_strategy is None:
            return bool(tf.config.list_physical_devices("GPU"))
        return "GPU" in self._distribute_strategy.extended.worker_devices[0]

    def _xla_pays(self) -> bool:
        """On the CPUs measured so far TensorFlow's own kernels are faster."""
        shares_statistics = self.distribute_strategy.num_replicas_in_sync > 1 and bool(self._batch_normalizations)
        return self.trains_on_gpu and not shares_statistics

    @property
    def _batch_normalizations(self) -> list[BatchNormalization]:
        layers = [*self.generator.layers, *self.discriminator.layers]
        return [layer for layer in layers if isinstance(layer, BatchNormalization)]

    @property
    def generator_weights(self) -> list[keras.Variable]:
        """θ_g."""
        return list(self.generator.trainable_variables)

    @property
    def statistics(self) -> list[keras.Variable]:
        """The moving statistics of both networks' batch normalisation."""
        return [*self.generator.non_trainable_variables, *self.discriminator.non_trainable_variables]

    def update_loss_means(self, labels: tf.Tensor, terms: dict[str, tf.Tensor]) -> None:
        """Adds a batch to the epoch's means."""
        for name in losses.BATCH_TERMS:
            self.loss_means[name].update_state(terms[name])
        for name in losses.NORMAL_TERMS:
            self.loss_means[name].update_state(terms[name], sample_weight=1 - labels)
        for name in losses.ANOMALY_TERMS:
            self.loss_means[name].update_state(terms[name], sample_weight=labels)

    def get_compile_config(self) -> dict[str, Any]:
        """Both optimizers and how steps are run, for `keras.models.load_model` to go on training with."""
        names = ("generator_optimizer", "discriminator_optimizer", "run_eagerly", "steps_per_execution")
        settings = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in names}
        return {**settings, "jit_compile": self.compiles_gradients}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles with what `get_compile_config` describes."""
        self.compile(**{name: keras.saving.deserialize_keras_object(value) for name, value in config.items()})


def copy_of(variable: keras.Variable) -> Any:
    """An initializer that gives the value that another variable has."""
    return lambda *_, **__: tf.identity(variable.value)


def _unpack(data: Any) -> tuple[tf.Tensor, tf.Tensor]:
    images, labels, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    if sample_weight is not None:
        raise ValueError("AGAD's losses are weighted by label alone; leave out sample_weight and class_weight.")
    if labels is None:
        return images, tf.zeros(tf.shape(images)[:1])
    return images, tf.reshape(tf.cast(labels, tf.float32), [-1])
