"""The story of a run: data, model, training, evaluation, export, report."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Iterator

import tensorflow as tf
from filelock import FileLock, Timeout

from agad_tf.config.choices import BASELINES
from agad_tf.config.errors import RunError
from agad_tf.config.experiment import ExperimentConfig
from agad_tf.config.flags import read_config, require_same_settings, to_flagfile
from agad_tf.data.images_in_files import Pictures
from agad_tf.data.inspection import write_left_out
from agad_tf.data.sources import Source
from agad_tf.data.splits import OneClassTask
from agad_tf.data.task import load_task
from agad_tf.data.training_batches import plan_batches
from agad_tf.evaluation.measurement import decision_of, measure_baseline, measure_model
from agad_tf.evaluation.results import read_results, write_results
from agad_tf.evaluation.thresholds import Decision
from agad_tf.files.whole_files import settle_folder, write_whole
from agad_tf.files.workdir import Workdir
from agad_tf.models.agad import AGAD
from agad_tf.models.baselines import baseline_scores
from agad_tf.models.build import build_model
from agad_tf.reporting.report import write_report
from agad_tf.reporting.terminal_table import print_table
from agad_tf.serving.onnx_litert import export_portable, require_packages
from agad_tf.serving.saved_model import export_saved_model
from agad_tf.training.checkpoints import Checkpoints, saved_positions
from agad_tf.training.distribution import build_strategy, describe, folder_to_write, is_chief, require_same_epoch
from agad_tf.training.fitting import Fitting


def train(config: ExperimentConfig) -> None:
    """Trains, evaluates and exports; goes on where an earlier call with the same settings was interrupted.

    Of several workers each trains, and the chief alone does the rest.
    """
    require_packages(config.export_format)
    workdir = Workdir(config.folder)
    if workdir.config.exists():
        require_same_settings(read_config(workdir.root), config)
    if workdir.results.exists():
        settle_folder(workdir.saved_model)
        print_table(read_results(workdir.results))
        print(f"{workdir.root} holds the finished run; --mode=evaluate measures it again.")
        return
    if config.method in BASELINES:
        _run_baseline(config, workdir)
        return
    if (workdir.checkpoints / f"epoch-{config.epochs}.index").exists():
        # All epochs are done; a chief that was lost while it measured them needs no other worker.
        if not is_chief(config):
            return
        strategy = tf.distribute.get_strategy()
    else:
        strategy = build_strategy(config)
    source, task = load_task(config)
    plan = plan_batches(
        task.train,
        config.batch_size,
        config.min_anomalies,
        strategy.num_replicas_in_sync,
        config.synthetic_anomalies,
        config.synthetic_share,
        config.horizontal_flip,
    )
    with folder_to_write(config) as folder, _used_by_this_process_alone(Workdir(folder)) as own:
        # Written only now: flags that turned out not to fit the data must not stand in the way of better ones.
        write_whole(own.config, lambda file: file.write(to_flagfile(config)))
        _keep_left_out(own, source)
        # An epoch that is gone on with in the middle is to be executed in equal parts too.
        steps = math.gcd(plan.steps_per_epoch, *(position.step for position in saved_positions(workdir.checkpoints)))
        with strategy.scope():
            model = build_model(config, source.channels, steps)
        print(f"The run is in {workdir.root}\n{describe(model)}.")
        checkpoints = Checkpoints(model, own.checkpoints)
        epoch, step = checkpoints.restore(workdir.checkpoints)
        require_same_epoch(strategy, epoch)
        if epoch or step:
            within = f", step {step} of {plan.steps_per_epoch} of the next" if step else ""
            print(f"Continuing after epoch {epoch} of {config.epochs}{within}.")
        if epoch < config.epochs:
            Fitting(config, own, task, plan, model, checkpoints).run()
        if not is_chief(config):
            return
        # On one device, whatever it was trained on: what is measured and exported is what the checkpoint holds.
        _measure_and_export(config, workdir, source, task, *_restore(config, workdir, source.channels))
    print(
        f"The detector is in {workdir.saved_model}; read {workdir.report}, or look at the run with: "
        f"tensorboard --logdir {workdir.tensorboard}"
    )


@contextlib.contextmanager
def _used_by_this_process_alone(workdir: Workdir) -> Iterator[Workdir]:
    workdir.checkpoints.mkdir(parents=True, exist_ok=True)
    try:
        # The system takes the lock back from a process that is killed.
        with FileLock(workdir.lock, timeout=0):
            yield workdir
    except Timeout as error:
        raise RunError(
            f"Another process is at work in {workdir.root}; wait for it or give another --workdir."
        ) from error


def evaluate(config: ExperimentConfig) -> None:
    """Measures a finished run again and writes its detector anew; a baseline is fitted again."""
    workdir = Workdir(config.folder)
    if config.method in BASELINES:
        _run_baseline(config, workdir)
        return
    source, task = load_task(config)
    restored = _restore(config, workdir, source.channels)
    with _used_by_this_process_alone(workdir):
        _measure_and_export(config, workdir, source, task, *restored)


def _measure_and_export(
    config: ExperimentConfig,
    workdir: Workdir,
    source: Source,
    task: OneClassTask,
    model: AGAD,
    checkpoints: Checkpoints,
) -> None:
    seconds, scale = float(checkpoints.seconds), float(checkpoints.learning_rate_scale)
    results = measure_model(config, workdir, source, task, model, seconds, scale)
    decision = decision_of(results)
    export_saved_model(model, decision, workdir.saved_model)
    if config.export_format != "saved_model":
        _export_portable(config, workdir, model, decision)
    write_report(config, workdir, source, task, results, model)
    write_results(workdir.results, results)
    print_table(results)


def _run_baseline(config: ExperimentConfig, workdir: Workdir) -> None:
    source, task = load_task(config)
    with _used_by_this_process_alone(workdir):
        write_whole(workdir.config, lambda file: file.write(to_flagfile(config)))
        _keep_left_out(workdir, source)
        began = time.monotonic()
        scores = baseline_scores(config.method, source, task, config.image_size, config.width, config.seed)
        results = measure_baseline(config, workdir, source, task, scores, time.monotonic() - began)
        write_report(config, workdir, source, task, results)
        write_results(workdir.results, results)
    print_table(results)
    print(f"The figures are in {workdir.results}; read {workdir.report}.")


def export(config: ExperimentConfig) -> None:
    """Writes the detector of a finished run again, in the format that is asked for."""
    require_packages(config.export_format)
    workdir = Workdir(config.folder)
    decision, model = decision_of(read_results(workdir.results)), restore(config)
    with _used_by_this_process_alone(workdir):
        if config.export_format == "saved_model":
            export_saved_model(model, decision, workdir.saved_model)
            print(f"The detector is in {workdir.saved_model}.")
        else:
            _export_portable(config, workdir, model, decision)


def _export_portable(config: ExperimentConfig, workdir: Workdir, model: AGAD, decision: Decision) -> None:
    path = workdir.portable(config.export_format)
    in_float32 = build_model(dataclasses.replace(config, mixed_precision="none"), model.generator.input_shape[-1])
    in_float32.set_weights(model.get_weights())
    export_portable(in_float32, decision, path, config.export_format)
    print(f"The detector is in {path}.")


def _keep_left_out(workdir: Workdir, source: Source) -> None:
    """So that the run goes on with the same pictures, whatever becomes of the others."""
    if isinstance(source.x_train, Pictures):
        write_whole(workdir.left_out, lambda file: write_left_out(file, source.left_out))


def restore(config: ExperimentConfig) -> AGAD:
    """The model of a finished run after its last epoch."""
    workdir = Workdir(config.folder)
    return _restore(config, workdir, read_results(workdir.results, oldest=1)["channels"])[0]


def _restore(config: ExperimentConfig, workdir: Workdir, channels: int) -> tuple[AGAD, Checkpoints]:
    """The model after its last epoch, and what else the checkpoint says of the run."""
    model = build_model(config, channels)
    checkpoints = Checkpoints(model, workdir.checkpoints)
    if checkpoints.restore(workdir.checkpoints).epoch < config.epochs:
        raise RunError(f"The run in {workdir.root} is not finished; continue it with --mode=train.")
    return model, checkpoints
