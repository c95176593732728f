"""A Keras model of two adversarial networks, without their losses.

A subclass defines the training step and its losses; see `agad_tf.models.agad`.
"""

from typing import Any

import keras
import tensorflow as tf

from agad_tf.models import losses
from agad_tf.models.compiling import CompiledModel
from agad_tf.models.network_copies import copy_of, image_shape_of
from agad_tf.models.replicas import assign, assign_mean
from agad_tf.models.reset import not_drawn, reset_discriminator
from agad_tf.models.step import Step, read_batch, require_labels
from agad_tf.networks.keras_internals import own_strategy


class AdversarialModel(CompiledModel):
    """A generator and a discriminator, each with an optimizer.

    Args:
        generator: G.
        discriminator: D.
        reinit_threshold: δ; D gets new random weights when its loss on a batch falls below it; 0 turns that off.
        ema_momentum: of the exponential moving average of G's weights and statistics over the steps, in [0, 1); 0 for
            no average.
        seed: for new weights of the discriminator.
        dtype: of the model itself; each network has its own policy.
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
        self._require_networks_that_fit()
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

    def _require_networks_that_fit(self) -> None:
        strategy = own_strategy(self)
        if strategy is not None and any(
            own_strategy(network) is not strategy for network in (self.generator, self.discriminator)
        ):
            raise ValueError(
                "The model was made in the strategy's scope, but its networks were not; make both in the scope."
            )
        if image_shape_of(self.discriminator) != self.image_shape:
            raise ValueError(
                f"The generator takes images of shape {self.image_shape}, but the discriminator takes "
                f"{image_shape_of(self.discriminator)}; make both for the same images."
            )
        images = keras.KerasTensor((None, *self.image_shape))
        reconstruction, *_ = keras.tree.flatten(self.generator(images))
        if tuple(reconstruction.shape[1:]) != self.image_shape:
            raise ValueError(
                f"The generator takes images of shape {self.image_shape} and gives {tuple(reconstruction.shape[1:])}; "
                "both shapes must be the same."
            )
        if len(said := keras.tree.flatten(self.discriminator(images))) != 2:
            raise ValueError(
                f"The discriminator has {len(said)} outputs; it must have two, its logits and the latent embedding D_z."
            )

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
    def scoring_generator(self) -> keras.Model:
        """The generator that images are scored by: of averaged weights, if they are kept."""
        return self.ema_generator or self.generator

    # === Fitting ===

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """As `keras.Model.fit`; labels `y` are 0 for normal and 1 for abnormal images, or None if all are normal."""
        require_labels(y)
        return super().fit(x, y, *args, **kwargs)

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, return_dict: bool = False, **kwargs: Any) -> Any:
        """As `keras.Model.evaluate`, with labels as in `fit`; gives every loss, "loss" first."""
        require_labels(y)
        results = super().evaluate(x, y, *args, return_dict=True, **kwargs)
        for counted_in_training in ("discriminator_resets", "skipped_steps"):
            del results[counted_in_training]
        return self._in_order(results, return_dict)

    def train_on_batch(self, *args: Any, return_dict: bool = False, **kwargs: Any) -> Any:
        """As `keras.Model.train_on_batch`; gives every loss, "loss" first."""
        return self._in_order(super().train_on_batch(*args, return_dict=True, **kwargs), return_dict)

    def test_on_batch(self, *args: Any, return_dict: bool = False, **kwargs: Any) -> Any:
        """As `keras.Model.test_on_batch`; gives every loss, "loss" first."""
        return self._in_order(super().test_on_batch(*args, return_dict=True, **kwargs), return_dict)

    @property
    def metrics_names(self) -> list[str]:
        """The names of what a list of results holds, in its order."""
        return ["loss", *(metric.name for metric in self.metrics)]

    def _in_order(self, results: dict[str, Any], return_dict: bool) -> Any:
        ordered = {name: float(results[name]) for name in self.metrics_names if name in results}
        return ordered if return_dict else list(ordered.values())

    def export(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """As `keras.Model.export`; Keras exports a model only after it has been built and called."""
        self.build((None, *self.image_shape))
        self(tf.zeros((1, *self.image_shape)))
        super().export(filepath, *args, **kwargs)

    # === What a step does beside its losses ===

    def update_statistics(self, step: Step) -> None:
        """Assigns the values that the forward pass writes, such as the moving statistics of batch normalisation."""
        assign_mean(*self.compute_step.written(step))

    def update_ema_generator(self) -> None:
        """Moves the averaged generator towards G, and further in the first steps."""
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
        """Gives D new random weights."""
        reset_discriminator(
            self.discriminator,
            self.discriminator_optimizer,
            self.initial_values,
            self.seed,
            tf.convert_to_tensor(self.generator_optimizer.iterations),
        )

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
        """Counts a skipped step, and a reset of the discriminator; both bool scalars."""
        replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        self.skipped_steps.update_state((1 - tf.cast(taken, tf.float32)) / replicas)
        self.discriminator_resets.update_state(tf.cast(reset, tf.float32) / replicas)

    def get_metrics_result(self) -> dict[str, tf.Tensor]:
        """The epoch's metrics so far.

        Losses are NaN until a step has been taken, so that no callback takes an epoch without steps for the best.
        """
        results = super().get_metrics_result()
        taken = self.loss_means["generator_loss"].count > 0
        for name in self.loss_means:
            results[name] = tf.where(taken, results[name], float("nan"))
        return {"loss": results["generator_loss"], **results}

    def step_results(self) -> dict[str, tf.Tensor]:
        """The result of a step for Keras, which reads the metrics itself at the end of an epoch."""
        results = self.get_metrics_result()
        if isinstance(self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
            # Keras averages over workers along the first axis, which a scalar does not have.
            return {name: result[tf.newaxis] for name, result in results.items()}
        return results

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """The losses of a batch with moving statistics, without learning."""
        images, labels = read_batch(data)
        values = [(variable, tf.convert_to_tensor(variable)) for variable in self._step_variables]
        with keras.StatelessScope(values, collect_losses=True):
            found = self.regularized(self.batch_losses(images, labels, training=False))
        self.update_loss_means(labels, found)
        return self.step_results()


def value_of(variable: keras.Variable) -> Any:
    """An initializer that copies the value of another variable."""
    return lambda *_, **__: tf.identity(variable.value)
