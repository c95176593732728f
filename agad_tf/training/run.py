"""The story of a run: data, model, training, evaluation, export, report."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Iterator

import keras
import tensorflow as tf
from filelock import FileLock, Timeout

from agad_tf.config.choices import BASELINES
from agad_tf.config.experiment import ExperimentConfig, RunError
from agad_tf.config.flags import read_config, require_same_settings, to_flagfile
from agad_tf.data.images_in_files import Pictures
from agad_tf.data.inspection import leave_out_unreadable, write_left_out
from agad_tf.data.readers import limit_pixels
from agad_tf.data.sources import Source, load_source
from agad_tf.data.splits import OneClassTask, one_class_task
from agad_tf.data.training_batches import plan_batches
from agad_tf.evaluation.measurement import decision_of, measure_baseline, measure_model
from agad_tf.evaluation.results import print_table, read_results, write_results, write_whole
from agad_tf.evaluation.thresholds import Decision
from agad_tf.files.workdir import Workdir, settle_folder
from agad_tf.models.agad import AGAD
from agad_tf.models.baselines import baseline_scores
from agad_tf.models.ganomaly import PUBLISHED_WEIGHTS, GANomaly, SkipGANomaly
from agad_tf.models.losses import LossWeights
from agad_tf.networks import build_code_comparing_generator, build_discriminator, build_generator
from agad_tf.reporting.report import write_report
from agad_tf.serving.onnx_litert import export_portable, require_packages
from agad_tf.serving.saved_model import export_saved_model
from agad_tf.training.checkpoints import Checkpoints, saved_positions
from agad_tf.training.distribution import build_strategy, describe, folder_to_write, is_chief, require_same_epoch
from agad_tf.training.fitting import Fitting

METHODS = {"agad": AGAD, "ganomaly": GANomaly, "skip_ganomaly": SkipGANomaly}


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
    own_weights = LossWeights(
        config.lambda_adv, config.lambda_con, config.lambda_adcon, config.lambda_lat, config.reciprocal_epsilon
    )
    network = (image_shape, config.width, config.normalization, config.seed, policy)
    model = METHODS[config.method](
        build_code_comparing_generator(*network)
        if config.method == "ganomaly"
        else build_generator(config.generator, *network),
        build_discriminator(*network),
        contextual_adversarial=config.contextual_adversarial,
        anomaly_distance=config.anomaly_distance,
        anomaly_normalization=config.anomaly_normalization,
        pseudo_anomaly_normalization=config.pseudo_anomaly_normalization,
        loss_weights=PUBLISHED_WEIGHTS.get(config.method, own_weights),
        reinit_threshold=config.reinit_threshold,
        residual_norm=config.residual_norm,
        ema_momentum=config.ema_momentum,
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


def load_task(config: ExperimentConfig) -> tuple[Source, OneClassTask]:
    """Reads the data set of an experiment and divides it."""
    limit_pixels(config.max_megapixels)
    source = load_source(config.dataset, config.data_dir, config.image_size)
    source = leave_out_unreadable(source, Workdir(config.folder).left_out)
    task = one_class_task(
        source,
        source.class_number(config.normal_class),
        config.gamma,
        tuple(source.class_number(name) for name in config.anomaly_classes),
        config.validation_fraction,
        config.seed,
    )
    return source, task


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
