"""The story of a run: data, model, training, evaluation, export."""

import dataclasses
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from agad_tf.callbacks import (
    Checkpoints,
    CosineLearningRate,
    EpochScores,
    Progress,
    Summaries,
    read_family_scores,
    write_scores_and_images,
)
from agad_tf.config import ExperimentConfig, RunError, read_config, require_same_settings
from agad_tf.data.pipeline import plan_batches, training_batches
from agad_tf.data.protocols import OneClassTask, one_class_task
from agad_tf.data.sources import load_source
from agad_tf.evaluation.metrics import detection_metrics
from agad_tf.evaluation.protocols import PROTOCOLS, Scorer
from agad_tf.evaluation.thresholds import detector_threshold
from agad_tf.export import export_saved_model
from agad_tf.losses import LossWeights
from agad_tf.model import AGAD
from agad_tf.networks import build_discriminator, build_generator
from agad_tf.results import print_table, read_results, versions, write_results, write_scores, write_whole


@dataclasses.dataclass(frozen=True)
class Workdir:
    """The files of a run, all below one folder."""

    root: Path

    config = property(lambda self: self.root / "config.cfg")
    results = property(lambda self: self.root / "results.json")
    scores = property(lambda self: self.root / "scores.csv")
    tensorboard = property(lambda self: self.root / "tensorboard")
    checkpoints = property(lambda self: self.root / "checkpoints")
    family_scores = property(lambda self: self.root / "checkpoints" / "family_best_epoch.npz")
    saved_model = property(lambda self: self.root / "saved_model")


def train(config: ExperimentConfig) -> None:
    """Trains, evaluates and exports; goes on where an earlier call with the same settings was interrupted."""
    workdir = _open_workdir(config)
    if workdir.results.exists():
        print_table(read_results(workdir.results))
        print(f"{workdir.root} holds the finished run; --mode=evaluate measures it again.")
        return
    task = _load_task(config)
    # Before the model is built: a batch size that does not fit should be said at once.
    plan = plan_batches(task.train, config.batch_size, config.min_anomalies)
    model = build_model(config, task.train.images.shape[-1])
    checkpoints = Checkpoints(model, workdir.checkpoints)
    first_epoch = checkpoints.restore()
    if first_epoch:
        print(f"Continuing after epoch {first_epoch} of {config.epochs}.")
    if first_epoch < config.epochs:
        epoch_scores = EpochScores(task, Scorer(model, config.batch_size), workdir.family_scores)
        model.fit(
            training_batches(task.train, config.image_size, plan, config.epochs, config.seed, first_epoch),
            steps_per_epoch=plan.steps_per_epoch,
            initial_epoch=first_epoch,
            epochs=config.epochs,
            shuffle=False,
            verbose=0,
            callbacks=[
                *_learning_rate_schedule(config),
                epoch_scores,
                Summaries(workdir.tensorboard, task, epoch_scores),
                Progress(plan.steps_per_epoch, config.epochs, first_epoch),
                checkpoints,
            ],
        )
    results = _measure(config, workdir, task, model, checkpoints)
    export_saved_model(model, results["detector_threshold"], workdir.saved_model)
    # Last of all: a run with results is a finished run.
    write_results(workdir.results, results)
    print_table(results)
    print(f"The detector is in {workdir.saved_model}; look at the run with: tensorboard --logdir {workdir.tensorboard}")


def evaluate(config: ExperimentConfig) -> None:
    """Measures a finished run again, from its last checkpoint."""
    workdir = Workdir(Path(config.workdir))
    task = _load_task(config)
    model, checkpoints = _restore(config, workdir, task.train.images.shape[-1])
    results = _measure(config, workdir, task, model, checkpoints)
    write_results(workdir.results, results)
    print_table(results)


def export(config: ExperimentConfig) -> None:
    """Writes the SavedModel of a finished run again."""
    workdir = Workdir(Path(config.workdir))
    results = read_results(workdir.results)
    model, _ = _restore(config, workdir, results["channels"])
    export_saved_model(model, results["detector_threshold"], workdir.saved_model)
    print(f"The detector is in {workdir.saved_model}.")


def build_model(config: ExperimentConfig, channels: int) -> AGAD:
    """Builds and compiles the model of an experiment, with its initial weights.

    Args:
        config: the experiment.
        channels: of the images, 1 or 3.

    Returns:
        The compiled model.
    """
    keras.utils.set_random_seed(config.seed)
    image_shape = (config.image_size, config.image_size, channels)
    model = AGAD(
        build_generator(config.generator, image_shape, config.width, config.normalization, seed=config.seed),
        build_discriminator(image_shape, config.width, config.normalization, seed=config.seed),
        contextual_adversarial=config.contextual_adversarial,
        anomaly_distance=config.anomaly_distance,
        anomaly_normalization=config.anomaly_normalization,
        loss_weights=LossWeights(
            config.lambda_adv,
            config.lambda_con,
            config.lambda_adcon,
            config.lambda_lat,
            config.reciprocal_epsilon,
        ),
        reinit_threshold=config.reinit_threshold,
        seed=config.seed,
    )
    optimizers = [keras.optimizers.Adam(config.learning_rate, config.beta_1, config.beta_2) for _ in range(2)]
    model.compile(*optimizers, jit_compile=_compiles_with_xla(config))
    return model


def _learning_rate_schedule(config: ExperimentConfig) -> list[keras.callbacks.Callback]:
    if config.learning_rate_schedule == "constant":
        return []
    return [CosineLearningRate(config.learning_rate, config.epochs)]


def _compiles_with_xla(config: ExperimentConfig) -> bool:
    if config.jit_compile != "auto":
        return config.jit_compile == "true"
    # On the CPUs measured so far TensorFlow's own kernels are faster; splitting by label cannot be compiled.
    return bool(tf.config.list_physical_devices("GPU")) and config.anomaly_normalization == "joint"


def _open_workdir(config: ExperimentConfig) -> Workdir:
    workdir = Workdir(Path(config.workdir))
    if workdir.config.exists():
        require_same_settings(read_config(workdir.root), config)
    else:
        workdir.checkpoints.mkdir(parents=True, exist_ok=True)
        write_whole(workdir.config, lambda file: file.write(config.to_flagfile()))
    print(f"The run is in {workdir.root}")
    return workdir


def _load_task(config: ExperimentConfig) -> OneClassTask:
    return one_class_task(
        load_source(config.dataset, config.data_dir),
        config.normal_class,
        config.gamma,
        config.anomaly_classes,
        config.validation_fraction,
        config.seed,
    )


def _restore(config: ExperimentConfig, workdir: Workdir, channels: int) -> tuple[AGAD, Checkpoints]:
    model = build_model(config, channels)
    checkpoints = Checkpoints(model, workdir.checkpoints)
    if checkpoints.restore() < config.epochs:
        raise RunError(f"The run in {workdir.root} is not finished; continue it with --mode=train.")
    return model, checkpoints


def _measure(
    config: ExperimentConfig, workdir: Workdir, task: OneClassTask, model: AGAD, checkpoints: Checkpoints
) -> dict[str, Any]:
    """Scores the test set, writes scores.csv and the test set's summaries, and returns the results."""
    scorer = Scorer(model, config.batch_size, progress=True)
    validation_scores = scorer.per_image(task.validation.images)
    test_scores = scorer.per_image(task.test.images)
    threshold, threshold_source = detector_threshold(task.validation.labels, validation_scores)
    family_labels, family_scores, family_epoch = read_family_scores(workdir.family_scores)
    per_image = detection_metrics(task.test.labels, test_scores, config.seed)
    family = detection_metrics(family_labels, family_scores, config.seed)
    write_scores(workdir.scores, task.test, test_scores)
    with tf.summary.create_file_writer(str(workdir.tensorboard)).as_default(step=config.epochs):
        write_scores_and_images(model, task.test, test_scores, "test")
    return {
        **config.settings(),
        "channels": task.train.images.shape[-1],
        "versions": versions(),
        "seconds": round(float(checkpoints.seconds), 1),
        "detector_threshold": threshold,
        "detector_threshold_source": threshold_source,
        "protocols": {
            "per_image": {**per_image, "epoch": config.epochs, "labels_leak": PROTOCOLS["per_image"]},
            "family": {**family, "epoch": family_epoch, "labels_leak": PROTOCOLS["family"]},
        },
    }
