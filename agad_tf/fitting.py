"""The epochs of a run: from where it stopped, past interruptions and divergence, to the last one."""

import sys

import keras
import tensorflow as tf
from tqdm import tqdm

from agad_tf.callbacks import DivergedError, Divergence, EpochScores, Interruption, LearningRate, Progress
from agad_tf.checkpoints import Checkpoints, Position
from agad_tf.collapse import CollapseWatch
from agad_tf.config import ExperimentConfig, RunError
from agad_tf.data.pipeline import BatchPlan, training_batches
from agad_tf.data.protocols import OneClassTask
from agad_tf.evaluation.protocols import Scorer
from agad_tf.model import AGAD
from agad_tf.summaries import Summaries
from agad_tf.workdir import Workdir

# What a run that has diverged goes back with, and how often.
SETBACK = 0.1
SETBACKS = 3


def fit(
    config: ExperimentConfig,
    workdir: Workdir,
    task: OneClassTask,
    plan: BatchPlan,
    model: AGAD,
    checkpoints: Checkpoints,
) -> None:
    """Trains from where the checkpoints are to the last epoch.

    Where losses stop being numbers, training goes back to the last checkpoint with a tenth of the learning rate.

    Args:
        config: the experiment.
        workdir: of the run.
        task: the images.
        plan: of the batches.
        model: compiled, and restored.
        checkpoints: of the model.

    Raises:
        KeyboardInterrupt: the user wants to stop; what is done is saved.
        RunError: it has diverged again and again.
    """
    if checkpoints.position == Position(0):
        checkpoints.save()
    while True:
        began = checkpoints.position
        try:
            _fit(config, workdir, task, plan, model, checkpoints)
        except KeyboardInterrupt:
            if checkpoints.saves_within_epochs:
                checkpoints.save()
            raise
        except DivergedError as error:
            _go_back(config, checkpoints, began, error)
        else:
            return


def _go_back(config: ExperimentConfig, checkpoints: Checkpoints, began: Position, error: DivergedError) -> None:
    scale = SETBACK * float(checkpoints.learning_rate_scale)
    if scale < 0.5 * SETBACK**SETBACKS:
        raise RunError(
            f"Training has diverged: {error}, even at a learning rate of {config.learning_rate * scale / SETBACK:.2g}. "
            "Train with a lower --learning_rate, or with smaller weights --lambda_…, in another --workdir."
        )
    if checkpoints.position.epoch == began.epoch and checkpoints.position.step - began.step <= Divergence.LIMIT:
        # It has not come anywhere from there: the checkpoint holds the trouble itself.
        checkpoints.drop_newest()
    checkpoints.restore(checkpoints.directory)
    checkpoints.learning_rate_scale.assign(scale)
    tqdm.write(
        f"agad_tf: training has diverged: {error}. Going back to the end of epoch {checkpoints.position.epoch}, "
        f"with a learning rate of {config.learning_rate * scale:.2g}.",
        file=sys.stderr,
    )


def _fit(
    config: ExperimentConfig,
    workdir: Workdir,
    task: OneClassTask,
    plan: BatchPlan,
    model: AGAD,
    checkpoints: Checkpoints,
) -> None:
    epoch, step = checkpoints.position
    steps_done = epoch * plan.steps_per_epoch + step
    learning_rate = config.learning_rate * float(checkpoints.learning_rate_scale)
    with Progress(plan.steps_per_epoch, config.epochs, steps_done) as progress, Interruption() as interruption:
        scorer = Scorer(model, config.batch_size, before_batch=interruption.poll)
        epoch_scores = EpochScores(task, scorer, workdir.family_scores)
        callbacks = [
            LearningRate(learning_rate, config.learning_rate_schedule, config.epochs),
            epoch_scores,
            CollapseWatch(model, task, config.epochs),
            Summaries(workdir.tensorboard, task, epoch_scores),
            progress,
            checkpoints,
            Divergence(plan.steps_per_epoch),
            interruption,
        ]
        if step == plan.steps_per_epoch:
            # All steps of an epoch had been taken, and its scoring was interrupted.
            checkpoints.on_epoch_begin(epoch)
            ending = keras.callbacks.CallbackList(callbacks, model=model)
            ending.on_epoch_end(epoch, model.get_metrics_result())
        elif step:
            _fit_epochs(config, task, plan, model, callbacks, checkpoints.position, epoch + 1)
        if checkpoints.position.epoch < config.epochs:
            _fit_epochs(config, task, plan, model, callbacks, checkpoints.position, config.epochs)


def _fit_epochs(
    config: ExperimentConfig,
    task: OneClassTask,
    plan: BatchPlan,
    model: AGAD,
    callbacks: list[keras.callbacks.Callback],
    begin: Position,
    end: int,
) -> None:
    """Trains from a position to before an epoch; from the middle of an epoch not beyond its end."""

    def batches(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return training_batches(
            task.train,
            config.image_size,
            plan,
            end,
            config.seed,
            begin.epoch,
            context,
            config.cache_gib * 2**30,
            begin.step,
        )

    model.fit(
        model.distribute_strategy.distribute_datasets_from_function(batches),
        steps_per_epoch=plan.steps_per_epoch - begin.step,
        initial_epoch=begin.epoch,
        epochs=end,
        shuffle=False,
        verbose=0,
        callbacks=callbacks,
    )
