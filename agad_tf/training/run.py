"""A run from start to end: data, model, training, measurement, export, report."""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from agad_tf.config.choices import BASELINES
from agad_tf.config.experiment import ExperimentConfig
from agad_tf.config.flags import read_config, to_flagfile
from agad_tf.config.seconds import CLOCK
from agad_tf.data.pixel_range import read_pixel_range
from agad_tf.data.sources import Source
from agad_tf.data.splits import NORMAL, OneClassTask
from agad_tf.data.training_batches import BatchPlan, batch_size_that_fits, plan_batches
from agad_tf.evaluation.family_scores import read_family_scores
from agad_tf.evaluation.measurement import measure_model
from agad_tf.evaluation.results import decision_of, read_results
from agad_tf.files.whole_files import settle_folder, write_whole
from agad_tf.files.workdir import Workdir
from agad_tf.models.agad import AGAD
from agad_tf.models.build import build_model
from agad_tf.reporting.event_files import read_curves
from agad_tf.reporting.terminal_table import print_table
from agad_tf.serving.onnx_litert import require_packages
from agad_tf.serving.saved_model import export_saved_model
from agad_tf.training.asked import Asked, what_is_asked
from agad_tf.training.baseline_run import run_baseline
from agad_tf.training.checkpoints import Checkpoints, saved_positions
from agad_tf.training.distribution import (
    build_strategy,
    describe,
    folder_to_write,
    is_chief,
    require_one_clock,
    require_same_epoch,
)
from agad_tf.training.export import write_portable
from agad_tf.training.fitting import Fitting, Schedule
from agad_tf.training.images import load_images, masks_to_learn_from, normals_alone
from agad_tf.training.outcome import write_outcome
from agad_tf.training.restore import restore, restore_with_checkpoints
from agad_tf.training.run_folder import holds_other_images, used_by_this_process_alone, write_set_up
from agad_tf.training.run_warnings import run_warnings


def train(config: ExperimentConfig, budget: float = math.inf) -> None:
    """Trains, measures and exports; continues where an earlier call with the same settings was interrupted.

    With several workers, all train, and the chief does the rest.

    Args:
        config: the experiment.
        budget: limit of seconds for training, counted from the first step, earlier calls included. It is not a setting
            of the run: a later call may give another limit, or none.

    Raises:
        UsageError: the flags do not fit the run in their folder, the data, or the devices.
        RunError: training diverged again and again, or the run is damaged.
        KeyboardInterrupt: the user wants to stop; what is done is saved.
    """
    # === Set-up ===
    CLOCK.begin_run()
    require_packages(config.export_format)
    require_one_clock(budget, config.strategy, config.devices)
    workdir = Workdir(config.folder)
    asked = what_is_asked(config, workdir)
    if asked is not Asked.TRAINING:
        _finished(config, workdir, asked)
        return
    if config.method in BASELINES:
        run_baseline(config)
        return
    chief = is_chief(config.strategy, config.devices)
    if (workdir.checkpoints / f"epoch-{config.epochs}.index").exists():
        # All epochs are done: a chief that was lost during measurement can finish without other workers.
        if not chief:
            return
        strategy = tf.distribute.get_strategy()
    else:
        strategy = build_strategy(config.strategy, config.devices)

    # === Data ===
    source, task = load_images(config)
    batch_size, _ = _batch_size(config, task)
    plan = _plan(config, task, strategy.num_replicas_in_sync)

    with folder_to_write(config.folder, chief) as folder, used_by_this_process_alone(Workdir(folder)) as own:
        write_set_up(own, config, source)
        # The task has copied its images; the others, most of a benchmark set, need not stay in memory.
        source = source.without_arrays()
        if not task.has_test_anomalies:
            print(normals_alone(task))
        masks, said_of_masks = masks_to_learn_from(source, task, config.segmentation)
        if said_of_masks:
            print(said_of_masks)
        if batch_size < config.batch_size:
            normals = np.sum(task.train.labels == NORMAL)
            print(
                f"The batch size is {batch_size}, not --batch_size={config.batch_size}: there are only {normals} "
                "normal images to train on."
            )

        # === Model === The rest of an interrupted epoch must also divide into equal parts.
        steps = math.gcd(plan.steps_per_epoch, *(position.step for position in saved_positions(workdir.checkpoints)))
        with strategy.scope():
            model = build_model(config, (*source.image_size, source.channels), steps)
        print(f"The run is in {workdir.root}\n{describe(model)}.")
        checkpoints = Checkpoints(model, own.checkpoints)
        epoch, step = checkpoints.restore(workdir.checkpoints)
        require_same_epoch(strategy, epoch)
        if epoch or step:
            within = f", step {step} of {plan.steps_per_epoch} of the next" if step else ""
            print(f"Continuing after epoch {epoch} of {config.epochs}{within}.")

        # === Training ===
        if epoch < config.epochs:
            schedule = Schedule(config.epochs, config.learning_rate, config.learning_rate_schedule)
            cache_bytes = config.cache_gib * 2**30
            Fitting(
                model,
                checkpoints,
                task,
                plan,
                schedule,
                own,
                config.batch_size,
                cache_bytes,
                config.seed,
                config.protocols,
                masks,
                budget,
            ).run()
        if not chief:
            return

        # === Measurement, export and report === On one device, however it was trained, so that the checkpoint's
        # content is measured and exported.
        restored = restore_with_checkpoints(config, (*source.image_size, source.channels))
        _measure_and_export(config, workdir, source, task, *restored)
    print(
        f"The detector is in {workdir.saved_model}; read {workdir.report}, or look at the run with: "
        f"tensorboard --logdir {workdir.tensorboard}"
    )


def evaluate(config: ExperimentConfig) -> None:
    """Measures a finished run again and writes its detector again; a baseline is fitted again.

    Args:
        config: of the run.

    Raises:
        RunError: the run is not finished, or damaged.
    """
    CLOCK.begin_run()
    if config.method in BASELINES:
        run_baseline(config)
        return
    workdir = Workdir(config.folder)
    source, task = load_images(config)
    if holds_other_images(workdir, source):
        print(
            f"{source.origin} holds other images than the run was trained on; the figures are those of the new images."
        )
    restored = restore_with_checkpoints(config, (*source.image_size, source.channels))
    with used_by_this_process_alone(workdir):
        _measure_and_export(config, workdir, source, task, *restored)
        # Options of this call, such as the threshold, also apply to later calls.
        write_whole(workdir.config, lambda file: file.write(to_flagfile(config)))


def export(config: ExperimentConfig) -> None:
    """Writes the detector of a finished run again, in the format that the configuration names.

    Args:
        config: of the run.

    Raises:
        UsageError: a package that the format needs is missing.
        RunError: the run is not finished, or damaged.
    """
    require_packages(config.export_format)
    workdir = Workdir(config.folder)
    decision, model = decision_of(read_results(workdir.results)), restore(config)
    with used_by_this_process_alone(workdir):
        if config.export_format == "saved_model":
            export_saved_model(model, decision, workdir.saved_model, read_pixel_range(workdir.pixel_range))
            print(f"The detector is in {workdir.saved_model}.")
        else:
            write_portable(config, model, decision)


def _finished(config: ExperimentConfig, workdir: Workdir, asked: Asked) -> None:
    """Shows a finished run, and measures and exports it again if the flags require it."""
    settle_folder(workdir.saved_model)
    if asked is Asked.MEASUREMENT and is_chief(config.strategy, config.devices):
        print(f"{workdir.root} holds the finished run; the new flags require that it is measured and exported again.")
        evaluate(config)
        return
    print_table(read_results(workdir.results))
    print(f"{workdir.root} holds the finished run, so nothing is left to do; --mode=evaluate measures it again.")
    asked_data = config.options()["data_dir"]
    if workdir.config.exists() and asked_data != (trained_on := read_config(workdir.root).options()["data_dir"]):
        print(
            f"--data_dir={config.data_dir} was not read, because the run was trained on {trained_on}. To measure it on "
            "other images, use --mode=evaluate; to train on them, use another --workdir."
        )


def _measure_and_export(
    config: ExperimentConfig,
    workdir: Workdir,
    source: Source,
    task: OneClassTask,
    model: AGAD,
    checkpoints: Checkpoints,
) -> None:
    with_family = "family" in config.protocols and task.has_test_anomalies
    if with_family and not workdir.family_scores.exists():
        print(
            "The family protocol is skipped: it needs the scores of every epoch, but this run was trained without "
            "--protocols=family."
        )
        with_family = False
    measured = measure_model(
        model,
        source,
        task,
        read_family_scores(workdir.family_scores) if with_family else None,
        protocols=config.protocols,
        epochs=config.epochs,
        batch_size=config.batch_size,
        threshold=config.threshold,
        anomaly_classes=config.anomaly_classes,
        synthetic_anomalies=config.synthetic_anomalies,
        seed=config.seed,
    )
    export_saved_model(model, measured.decision, workdir.saved_model, source.pixel_range)
    if config.export_format != "saved_model":
        write_portable(config, model, measured.decision)
    warnings = run_warnings(read_curves(workdir.tensorboard), float(checkpoints.learning_rate_scale))
    batch_size, min_anomalies = _batch_size(config, task)
    epochs_trained = int(model.generator_optimizer.iterations) / _plan(config, task).steps_per_epoch
    used = dataclasses.replace(config, workdir=str(config.folder), batch_size=batch_size, min_anomalies=min_anomalies)
    write_outcome(workdir, used, source, task, measured, float(checkpoints.seconds), warnings, model, epochs_trained)


def _plan(config: ExperimentConfig, task: OneClassTask, replicas: int = 1) -> BatchPlan:
    """The batches of the run."""
    return plan_batches(
        task.train,
        *_batch_size(config, task),
        replicas,
        config.synthetic_anomalies,
        config.synthetic_share,
        config.horizontal_flip,
        config.steps_per_epoch,
    )


def _batch_size(config: ExperimentConfig, task: OneClassTask) -> tuple[int, int]:
    """Images in a batch, and the least number of anomalies among them: as given, or fewer in small sets."""
    return batch_size_that_fits(
        task.train, config.batch_size, config.min_anomalies, config.synthetic_anomalies, config.synthetic_share
    )
