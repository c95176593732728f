"""AGAD as a Keras model: `train_step` is the paper's Algorithm 1."""

import functools
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from agad_tf import losses
from agad_tf.choices import (
    ANOMALY_DISTANCES,
    ANOMALY_NORMALIZATIONS,
    PSEUDO_ANOMALY_NORMALIZATIONS,
    RESIDUAL_NORMS,
)
from agad_tf.evaluation.scores import GRID, mahalanobis_norm, reconstruction_norm, residual_features
from agad_tf.networks.normalization import BatchNormalization
from agad_tf.passes import Passes, call_keeping_statistics, passes, training_passes
from agad_tf.replicas import everywhere, where_all_agree
from agad_tf.step import compute_step, learn

DEFAULT_WEIGHTS = losses.LossWeights()


@keras.saving.register_keras_serializable("agad_tf")
class AGAD(keras.Model):
    """Generator and discriminator, trained against each other by the label-conditional losses of AGAD.

    An ordinary Keras model: `compile`, `fit`, `evaluate`, `predict` and `save` work as ever. Images are float
    (batch, height, width, channels) in [-1, 1], labels (batch,): 0 normal, 1 abnormal; without labels all
    images count as normal. Calling the model gives reconstructions.

    Args:
        generator: G, from `build_generator` or of the same form.
        discriminator: D, from `build_discriminator` or of the same form.
        contextual_adversarial: whether pseudo-anomalies x̂ are to be reconstructed badly, equation (8).
        anomaly_distance: d_a of equation (10): "input" is ‖x − x̂‖₁, equation (3); "reconstruction" is
            ‖x̂ − G(x̂)‖₁, line 9, which needs `contextual_adversarial`.
        anomaly_normalization: how labelled anomalies meet batch normalisation in training: "joint", one batch
            with the normals; "frozen", by the moving statistics; "separate", as in code that feeds G one kind at
            a time: normals, anomalies and the pseudo-anomalies of either are batches of their own, and all of
            them move the moving statistics. The last two need both labels in every batch.
        pseudo_anomaly_normalization: "shared", x̂ goes through the batch normalisation layers of the images;
            "auxiliary", as in AdvProp, scale and offset of those layers are its own. As x̂ is never scored, no
            moving statistics are kept for it.
        loss_weights: the λ of equations (9) and (10) and the epsilon of the reciprocals.
        reinit_threshold: δ; D is drawn anew when its loss on a batch falls below it. 0 never does.
        residual_norm: how what a reconstruction leaves of an image is measured, which is the score: "euclidean" is
            the paper's ‖x − G(x)‖₂; "mahalanobis" counts in standard deviations of normal images, region by region,
            as `agad_tf.callbacks.NormalResiduals` finds them.
        seed: of the discriminators drawn anew.

    Raises:
        ValueError: an unknown choice, or one that contradicts another.

    Example:
        >>> model = AGAD(build_generator("encoder_decoder"), build_discriminator())
        >>> model.compile()
        >>> model.fit(normal_images, epochs=10)
        >>> scores = model.anomaly_score(images)
    """

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        *,
        contextual_adversarial: bool = True,
        anomaly_distance: str = "input",
        anomaly_normalization: str = "joint",
        pseudo_anomaly_normalization: str = "shared",
        loss_weights: losses.LossWeights | Sequence[float] = DEFAULT_WEIGHTS,
        reinit_threshold: float = 1e-5,
        residual_norm: str = "euclidean",
        seed: int = 0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        _require_choice("anomaly_distance", anomaly_distance, ANOMALY_DISTANCES)
        _require_choice("anomaly_normalization", anomaly_normalization, ANOMALY_NORMALIZATIONS)
        _require_choice("pseudo_anomaly_normalization", pseudo_anomaly_normalization, PSEUDO_ANOMALY_NORMALIZATIONS)
        _require_choice("residual_norm", residual_norm, RESIDUAL_NORMS)
        if anomaly_distance == "reconstruction" and not contextual_adversarial:
            raise ValueError("anomaly_distance='reconstruction' measures G(x̂); it needs contextual_adversarial=True.")
        self.generator = generator
        self.discriminator = discriminator
        self.contextual_adversarial = contextual_adversarial
        self.anomaly_distance = anomaly_distance
        self.anomaly_normalization = anomaly_normalization
        self.pseudo_anomaly_normalization = pseudo_anomaly_normalization
        self._auxiliary_weights = [
            self.add_weight(variable.shape, initializer=_copy_of(variable), name=f"auxiliary_{variable.name}")
            for variable in self._shared_weights
        ]
        self.loss_weights = losses.LossWeights(*loss_weights)
        self.reinit_threshold = reinit_threshold
        self.residual_norm = residual_norm
        self.residual_statistics = []
        if residual_norm == "mahalanobis":
            count = 2 * GRID**2 * generator.input_shape[-1]
            self.residual_statistics = [
                self.add_weight((count,), initializer="zeros", trainable=False, name="residual_mean"),
                self.add_weight((count, count), initializer="identity", trainable=False, name="residual_whitening"),
            ]
        self.seed = seed
        self.loss_means = {
            name: keras.metrics.Mean(name)
            for name in (*losses.BATCH_TERMS, *losses.NORMAL_TERMS, *losses.ANOMALY_TERMS)
        }
        self.discriminator_resets = keras.metrics.Sum("discriminator_resets")
        self.skipped_steps = keras.metrics.Sum("skipped_steps")
        self.built = True

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

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Reconstructs images, x̂ = G(x), same shape and range."""
        return self.generator(images, training=training)

    def re_reconstruct(self, reconstruction: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Sends pseudo-anomalies x̂ through G: x̂' = G(x̂), same shape and range.

        They move G's statistics in "separate" alone: those are there to score images, and x̂ is none.
        """
        if self._auxiliary_weights:
            paths = [variable.path for variable in self._shared_weights]
            stand_ins = dict(zip(paths, self._auxiliary_weights, strict=True))
            return call_keeping_statistics(self.generator, reconstruction, True, stand_ins)
        if self.anomaly_normalization == "separate" and training:
            return self.generator(reconstruction, training=True)
        return call_keeping_statistics(self.generator, reconstruction, training)

    def anomaly_score(self, images: tf.Tensor) -> tf.Tensor:
        """A(x) of each image, by default ‖x − G(x)‖₂, by the moving statistics: it does not depend on the batch.

        Args:
            images: float (batch, height, width, channels) in [-1, 1].

        Returns:
            float (batch,), higher is more abnormal.
        """
        return self.reconstruct_and_score(images)[1]

    def reconstruct_and_score(self, images: tf.Tensor, batch_statistics: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Reconstructions and anomaly scores, from one pass; no statistics move.

        Args:
            images: float (batch, height, width, channels) in [-1, 1].
            batch_statistics: whether to normalise by the batch, as the family's code does; then a score depends on
                the other images.

        Returns:
            Like `images`, and float (batch,), higher is more abnormal.
        """
        reconstruction = call_keeping_statistics(self.generator, images, batch_statistics)
        if self.residual_statistics:
            features = residual_features(images, reconstruction)
            return reconstruction, mahalanobis_norm(features, *self.residual_statistics)
        return reconstruction, reconstruction_norm(images, reconstruction)

    @property
    def scoring_variables(self) -> list[keras.Variable]:
        """What scores depend on."""
        return [*self.generator.variables, *self.residual_statistics]

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

    def terms(self, images: tf.Tensor, labels: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """Lines 2 to 10: what the networks say of a batch, and every loss of it.

        Args:
            images: float (batch, height, width, channels) in [-1, 1].
            labels: float (batch,): 0 normal, 1 abnormal.
            training: whether batch normalisation uses the statistics of the batch.

        Returns:
            By the names of `agad_tf.losses`, float (batch,) each.
        """
        re_reconstruct = self.re_reconstruct if self.contextual_adversarial else None
        if training:
            found = training_passes(
                self.generator,
                self.discriminator,
                images,
                labels,
                anomaly_normalization=self.anomaly_normalization,
                re_reconstruct=re_reconstruct,
            )
        else:
            found = passes(self.generator, self.discriminator, images, training=False, re_reconstruct=re_reconstruct)
        return self._loss_terms(images, labels, found)

    def _loss_terms(self, images: tf.Tensor, labels: tf.Tensor, found: Passes) -> dict[str, tf.Tensor]:
        return losses.loss_terms(images, labels, found, self.anomaly_distance, self.loss_weights)

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
        return [*self.generator.trainable_variables, *self._auxiliary_weights]

    @property
    def _shared_weights(self) -> list[keras.Variable]:
        """Scales and offsets of G's batch normalisation that have an auxiliary counterpart."""
        if self.pseudo_anomaly_normalization == "shared":
            return []
        layers = [layer for layer in self.generator.layers if isinstance(layer, BatchNormalization)]
        return [variable for layer in layers for variable in layer.trainable_variables]

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

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, networks included."""
        return {
            **super().get_config(),
            "generator": keras.saving.serialize_keras_object(self.generator),
            "discriminator": keras.saving.serialize_keras_object(self.discriminator),
            "contextual_adversarial": self.contextual_adversarial,
            "anomaly_distance": self.anomaly_distance,
            "anomaly_normalization": self.anomaly_normalization,
            "pseudo_anomaly_normalization": self.pseudo_anomaly_normalization,
            "loss_weights": list(self.loss_weights),
            "reinit_threshold": self.reinit_threshold,
            "residual_norm": self.residual_norm,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> "AGAD":
        """The model that `get_config` describes, with new weights."""
        networks = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects)
            for name in ("generator", "discriminator")
        }
        return cls(**{**config, **networks})

    def get_compile_config(self) -> dict[str, Any]:
        """Both optimizers and how steps are run, for `keras.models.load_model` to go on training with."""
        names = ("generator_optimizer", "discriminator_optimizer", "run_eagerly", "steps_per_execution")
        settings = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in names}
        return {**settings, "jit_compile": self.compiles_gradients}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles with what `get_compile_config` describes."""
        self.compile(**{name: keras.saving.deserialize_keras_object(value) for name, value in config.items()})


def _copy_of(variable: keras.Variable) -> Any:
    """An initializer."""
    return lambda *_, **__: tf.identity(variable.value)


def _unpack(data: Any) -> tuple[tf.Tensor, tf.Tensor]:
    images, labels, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    if sample_weight is not None:
        raise ValueError("AGAD's losses are weighted by label alone; leave out sample_weight and class_weight.")
    if labels is None:
        return images, tf.zeros(tf.shape(images)[:1])
    return images, tf.reshape(tf.cast(labels, tf.float32), [-1])


def _require_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"Unknown {name} '{value}'; choose one of {', '.join(choices)}.")
