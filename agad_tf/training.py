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
    Interruption,
    Progress,
    read_family_scores,
)
from agad_tf.config import ExperimentConfig, RunError
from agad_tf.data.pipeline import BatchPlan, plan_batches, training_batches
from agad_tf.data.protocols import OneClassTask, one_class_task
from agad_tf.data.sources import Source, load_source
from agad_tf.distribution import build_strategy, describe, folder_to_write, is_chief, require_same_epoch
from agad_tf.evaluation.metrics import detection_metrics
from agad_tf.evaluation.protocols import PROTOCOLS, Scorer
from agad_tf.evaluation.thresholds import detector_threshold
from agad_tf.export import export_saved_model
from agad_tf.flagfile import read_config, require_same_settings, to_flagfile
from agad_tf.losses import LossWeights
from agad_tf.model import AGAD
from agad_tf.networks import build_discriminator, build_generator
from agad_tf.results import print_table, read_results, versions, write_results, write_scores, write_whole
from agad_tf.summaries import Summaries, event_file, write_scores_and_images


@dataclasses.dataclass(frozen=True)
class Workdir:
    """The files of a run, all below one folder."""

    root: Path

    @property
    def config(self) -> Path:
        """Every flag's value."""
        return self.root / "config.cfg"

    @property
    def results(self) -> Path:
        """The figures; written last, so that a run that has them is finished."""
        return self.root / "results.json"

    @property
    def scores(self) -> Path:
        """The score of each test image."""
        return self.root / "scores.csv"

    @property
    def tensorboard(self) -> Path:
        """Folder of the event files."""
        return self.root / "tensorboard"

    @property
    def checkpoints(self) -> Path:
        """Folder of what a run needs to go on."""
        return self.root / "checkpoints"

    @property
    def family_scores(self) -> Path:
        """The test scores of the epoch that the family protocol reports."""
        return self.checkpoints / "family_best_epoch.npz"

    @property
    def saved_model(self) -> Path:
        """Folder of the detector."""
        return self.root / "saved_model"


def train(config: ExperimentConfig) -> None:
    """Trains, evaluates and exports; goes on where an earlier call with the same settings was interrupted.

    Of several workers each trains, and the chief alone does the rest.
    """
    workdir = Workdir(config.folder)
    if workdir.config.exists():
        require_same_settings(read_config(workdir.root), config)
    if workdir.results.exists():
        print_table(read_results(workdir.results))
        print(f"{workdir.root} holds the finished run; --mode=evaluate measures it again.")
        return
    if (workdir.checkpoints / f"epoch-{config.epochs}.index").exists():
        # All epochs are done; a chief that was lost while it measured them needs no other worker.
        if not is_chief(config):
            return
        strategy = tf.distribute.get_strategy()
    else:
        strategy = build_strategy(config)
    source, task = _load(config)
    plan = plan_batches(task.train, config.batch_size, config.min_anomalies, strategy.num_replicas_in_sync)
    with folder_to_write(config) as folder:
        own = Workdir(folder)
        # Written only now: flags that turned out not to fit the data must not stand in the way of better ones.
        own.checkpoints.mkdir(parents=True, exist_ok=True)
        write_whole(own.config, lambda file: file.write(to_flagfile(config)))
        with strategy.scope():
            model = build_model(config, source.channels, plan.steps_per_epoch)
        print(f"The run is in {workdir.root}\n{describe(model)}.")
        checkpoints = Checkpoints(model, own.checkpoints)
        first_epoch = checkpoints.restore(workdir.checkpoints)
        require_same_epoch(strategy, first_epoch)
        if first_epoch:
            print(f"Continuing after epoch {first_epoch} of {config.epochs}.")
        if first_epoch < config.epochs:
            _fit(config, own, task, plan, model, checkpoints, first_epoch)
    if not is_chief(config):
        return
    # On one device, whatever it was trained on: what is measured and exported is what the checkpoint holds.
    trained = _restore(config, workdir, source.channels)
    results = _measure(config, workdir, source, task, trained)
    export_saved_model(trained[0], results["detector_threshold"], workdir.saved_model)
    write_results(workdir.results, results)
    print_table(results)
    print(f"The detector is in {workdir.saved_model}; look at the run with: tensorboard --logdir {workdir.tensorboard}")


def _fit(
    config: ExperimentConfig,
    workdir: Workdir,
    task: OneClassTask,
    plan: BatchPlan,
    model: AGAD,
    checkpoints: Checkpoints,
    first_epoch: int,
) -> None:
    epoch_scores = EpochScores(task, Scorer(model, config.batch_size), workdir.family_scores)
    batches = model.distribute_strategy.distribute_datasets_from_function(
        lambda context: training_batches(
            task.train, config.image_size, plan, config.epochs, config.seed, first_epoch, context
        )
    )
    with Interruption() as interruption:
        model.fit(
            batches,
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
                interruption,
            ],
        )


def evaluate(config: ExperimentConfig) -> None:
    """Measures a finished run again, from its last checkpoint."""
    workdir = Workdir(config.folder)
    source, task = _load(config)
    results = _measure(config, workdir, source, task, _restore(config, workdir, source.channels))
    write_results(workdir.results, results)
    print_table(results)


def export(config: ExperimentConfig) -> None:
    """Writes the SavedModel of a finished run again."""
    workdir = Workdir(config.folder)
    results = read_results(workdir.results)
    model, _ = _restore(config, workdir, results["channels"])
    export_saved_model(model, results["detector_threshold"], workdir.saved_model)
    print(f"The detector is in {workdir.saved_model}.")


def build_model(config: ExperimentConfig, channels: int, steps_per_epoch: int = 1) -> AGAD:
    """Builds and compiles the model of an experiment, with its initial weights.

    Args:
        config: the experiment.
        channels: of the images, 1 or 3.
        steps_per_epoch: of the training; steps are executed in equal parts of it.

    Returns:
        The compiled model.
    """
    keras.utils.set_random_seed(config.seed)
    image_shape = (config.image_size, config.image_size, channels)
    policy = "float32" if config.mixed_precision == "none" else f"mixed_{config.mixed_precision}"
    model = AGAD(
        build_generator(config.generator, image_shape, config.width, config.normalization, config.seed, policy),
        build_discriminator(image_shape, config.width, config.normalization, config.seed, policy),
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
    jit_compile: dict[str, bool | str] = {"auto": "auto", "true": True, "false": False}
    equal_parts = (n for n in range(config.steps_per_execution, 0, -1) if steps_per_epoch % n == 0)
    model.compile(
        _optimizer(config),
        _optimizer(config),
        jit_compile[config.jit_compile],
        steps_per_execution=next(equal_parts),
    )
    return model


def _optimizer(config: ExperimentConfig) -> keras.optimizers.Optimizer:
    adam = keras.optimizers.Adam(config.learning_rate, config.beta_1, config.beta_2)
    # Small gradients would be 0 in float16; bfloat16 has the range of float32.
    return keras.optimizers.LossScaleOptimizer(adam) if config.mixed_precision == "float16" else adam


def _learning_rate_schedule(config: ExperimentConfig) -> list[keras.callbacks.Callback]:
    if config.learning_rate_schedule == "constant":
        return []
    return [CosineLearningRate(config.learning_rate, config.epochs)]


def _load(config: ExperimentConfig) -> tuple[Source, OneClassTask]:
    source = load_source(config.dataset, config.data_dir)
    task = one_class_task(
        source,
        config.normal_class,
        config.gamma,
        config.anomaly_classes,
        config.validation_fraction,
        config.seed,
    )
    return source, task


def _restore(config: ExperimentConfig, workdir: Workdir, channels: int) -> tuple[AGAD, Checkpoints]:
    model = build_model(config, channels)
    checkpoints = Checkpoints(model, workdir.checkpoints)
    if checkpoints.restore(workdir.checkpoints) < config.epochs:
        raise RunError(f"The run in {workdir.root} is not finished; continue it with --mode=train.")
    return model, checkpoints


def _measure(
    config: ExperimentConfig,
    workdir: Workdir,
    source: Source,
    task: OneClassTask,
    trained: tuple[AGAD, Checkpoints],
) -> dict[str, Any]:
    """Scores the test set, writes scores.csv and the test set's summaries, and returns the results."""
    model, checkpoints = trained
    scorer = Scorer(model, config.batch_size, progress=True)
    validation_scores = scorer.per_image(task.validation.images)
    test_scores = scorer.per_image(task.test.images)
    threshold, threshold_source = detector_threshold(task.validation.labels, validation_scores)
    family_labels, family_scores, family_epoch = read_family_scores(workdir.family_scores)
    per_image = detection_metrics(task.test.labels, test_scores, config.seed)
    family = detection_metrics(family_labels, family_scores, config.seed)
    write_scores(workdir.scores, task.test, test_scores)
    with event_file(workdir.tensorboard, "test", config.epochs):
        write_scores_and_images(model, task.test, test_scores, "test")
    return {
        **config.settings(),
        "data_origin": source.origin,
        "channels": source.channels,
        "versions": versions(),
        "seconds": round(float(checkpoints.seconds), 1),
        "detector_threshold": threshold,
        "detector_threshold_source": threshold_source,
        "protocols": {
            "per_image": {**per_image, "epoch": config.epochs, "labels_leak": PROTOCOLS["per_image"]},
            "family": {**family, "epoch": family_epoch, "labels_leak": PROTOCOLS["family"]},
        },
    }
