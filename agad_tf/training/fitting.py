"""The epochs of a run, with interruptions, divergence and a time budget."""

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import tensorflow as tf
from tqdm import tqdm

from agad_tf.config.choices import PROTOCOLS
from agad_tf.config.errors import RunError
from agad_tf.config.seconds import CLOCK
from agad_tf.data.splits import NORMAL, OneClassTask
from agad_tf.data.synthetic_anomalies import synthetic_images
from agad_tf.data.training_batches import BatchPlan, training_batches
from agad_tf.data.training_inputs import training_inputs
from agad_tf.evaluation.scorer import Scorer
from agad_tf.files.workdir import Workdir
from agad_tf.models.agad import AGAD
from agad_tf.models.segmenting_agad import SegmentingAGAD
from agad_tf.reporting.tensorboard import Summaries
from agad_tf.training.budget import Budget, TimeIsUpError
from agad_tf.training.checkpoints import Checkpoints, Position
from agad_tf.training.collapse_watch import IMAGES, CollapseWatch
from agad_tf.training.divergence import DivergedError, Divergence
from agad_tf.training.epoch_scores import EpochScores
from agad_tf.training.interruption import Interruption
from agad_tf.training.learning_rate import LearningRate
from agad_tf.training.normal_residuals import NormalResiduals
from agad_tf.training.progress import Progress
from agad_tf.training.usual_maps import UsualMaps

# After divergence: the factor for the learning rate, and how often a run may go back.
SETBACK = 0.1
SETBACKS = 3


class Schedule(NamedTuple):
    """Epochs and learning rate of a run.

    Attributes:
        epochs: of the whole run, at least 1.
        learning_rate: of the first epoch, above 0.
        learning_rate_schedule: one of `agad_tf.config.choices.LEARNING_RATE_SCHEDULES`.
    """

    epochs: int
    learning_rate: float
    learning_rate_schedule: str


class Fitting:
    """Trains from the newest checkpoint to the last epoch.

    If losses are no longer finite, training goes back to the last checkpoint with a tenth of the learning rate.

    Args:
        model: compiled, and restored.
        checkpoints: of the model.
        task: the images, which are read in the constructor.
        plan: of the batches.
        schedule: of the epochs.
        workdir: of the run.
        scoring_batch_size: images that are scored at a time.
        cache_bytes: memory that training images may take, see `training_inputs`.
        seed: of the order that images are trained with.
        protocols: by which the test set is scored; see `EpochScores`.
        masks: files of the masks of labelled anomalies by their ids, for a model that learns from them; None otherwise.
        seconds: time budget; when it is used up, training ends, and the learning rate has reached its last value.
    """

    def __init__(
        self,
        model: AGAD,
        checkpoints: Checkpoints,
        task: OneClassTask,
        plan: BatchPlan,
        schedule: Schedule,
        workdir: Workdir,
        scoring_batch_size: int,
        cache_bytes: float,
        seed: int,
        protocols: tuple[str, ...] = PROTOCOLS,
        masks: Mapping[int, Sequence[Path]] | None = None,
        seconds: float = math.inf,
    ):
        self.model = model
        self.checkpoints = checkpoints
        self.task = task
        self.plan = plan
        self.schedule = schedule
        self.workdir = workdir
        self.scoring_batch_size = scoring_batch_size
        self.seed = seed
        # As many as `CollapseWatch` uses, which are enough.
        watched = task.validation.of_label(NORMAL).images[:IMAGES]
        image_size = model.scoring_size
        self.synthetic = synthetic_images(watched, image_size, plan.kinds) if plan.kinds else None
        window = model.training_window if isinstance(model, SegmentingAGAD) else None
        self.inputs = training_inputs(task.train, image_size, cache_bytes, masks, window, seed)
        self.protocols = protocols
        self.budget = Budget(seconds, float(checkpoints.seconds)) if seconds < math.inf else None

    def run(self) -> None:
        """Trains.

        Raises:
            KeyboardInterrupt: the user wants to stop; what is done is saved.
            RunError: training has diverged again and again.
        """
        if self.checkpoints.position == Position(0):
            # So that there is always a checkpoint to go back to.
            self.checkpoints.save()
        while self.checkpoints.position.epoch < self.schedule.epochs:
            began = self.checkpoints.position
            try:
                self._go_on()
            except KeyboardInterrupt:
                if self.checkpoints.saves_within_epochs:
                    self.checkpoints.save()
                raise
            except DivergedError as error:
                self._go_back(began, error)
            except TimeIsUpError:
                self._leave_out_the_rest()

    def _go_on(self) -> None:
        (epoch, step), epochs = self.checkpoints.position, self.schedule.epochs
        steps_done = epoch * self.plan.steps_per_epoch + step
        with (
            Progress(self.plan.steps_per_epoch, epochs, steps_done, self.budget) as progress,
            Interruption() as interruption,
        ):
            callbacks = self._callbacks(progress, interruption)
            if step == self.plan.steps_per_epoch:
                # All steps of an epoch were taken, but its scoring was interrupted.
                self.checkpoints.on_epoch_begin(epoch)
                ending = keras.callbacks.CallbackList(callbacks, model=self.model)
                ending.on_epoch_end(epoch, self.model.get_metrics_result())
            elif step:
                self._fit_until(epoch + 1, callbacks)
            if self.checkpoints.position.epoch < epochs:
                self._fit_until(epochs, callbacks)

    def _callbacks(self, progress: Progress, interruption: Interruption) -> list[keras.callbacks.Callback]:
        epochs, learning_rate, learning_rate_schedule = self.schedule
        learning_rate *= float(self.checkpoints.learning_rate_scale)
        scorer = Scorer(self.model, self.scoring_batch_size, before_batch=interruption.poll)
        has_parts = isinstance(self.model, SegmentingAGAD)
        epoch_scores = EpochScores(
            self.task,
            scorer,
            self.workdir.family_scores,
            self.synthetic,
            with_family="family" in self.protocols,
            # Once, after the last epoch, because it takes as long as an epoch.
            first_epoch=epochs if has_parts else 1,
        )
        adapting = UsualMaps(self.inputs, self.task.reference, epochs) if has_parts else NormalResiduals(self.inputs)
        return [
            keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: CLOCK.enter("steps")),
            LearningRate(learning_rate, learning_rate_schedule, epochs, self.budget),
            adapting,
            epoch_scores,
            *([] if has_parts else [CollapseWatch(self.model, self.task, epochs)]),
            Summaries(self.workdir.tensorboard, self.task, lambda: epoch_scores.validation_scores),
            progress,
            self.checkpoints,
            Divergence(self.plan.steps_per_epoch),
            interruption,
            *([self.budget] if self.budget is not None else []),
        ]

    def _fit_until(self, end: int, callbacks: list[keras.callbacks.Callback]) -> None:
        """Trains to the beginning of an epoch; in the middle of an epoch, this is the next one."""
        epoch, step = self.checkpoints.position

        def batches(context: tf.distribute.InputContext) -> tf.data.Dataset:
            return training_batches(self.inputs, self.plan, end, self.seed, epoch, step, context)

        # It builds the pipeline and traces the step; all later ones are quick.
        with CLOCK.within("first step"):
            self.model.fit(
                self.model.distribute_strategy.distribute_datasets_from_function(batches),
                steps_per_epoch=self.plan.steps_per_epoch - step,
                initial_epoch=epoch,
                epochs=end,
                shuffle=False,
                verbose=0,
                callbacks=callbacks,
            )

    def _leave_out_the_rest(self) -> None:
        """Skips to the end of the last epoch, whose scoring and saving end the run."""
        (epoch, step), (epochs, steps) = self.checkpoints.position, (self.schedule.epochs, self.plan.steps_per_epoch)
        tqdm.write(
            f"The time budget is used up after {epoch + step / steps:.2f} of {epochs} epochs, at step "
            f"{epoch * steps + step}; the rest is skipped."
        )
        self.checkpoints.position = Position(epochs - 1, steps)
        self.checkpoints.save()

    def _go_back(self, began: Position, error: DivergedError) -> None:
        learning_rate, scale = self.schedule.learning_rate, float(self.checkpoints.learning_rate_scale)
        if scale < 2 * SETBACK**SETBACKS:
            raise RunError(
                f"Training has diverged: {error}, even at a learning rate of {learning_rate * scale:.2g}. Train with a "
                "lower --learning_rate, or with smaller weights --lambda_…, in another --workdir."
            )
        reached = self.checkpoints.position
        if reached.epoch == began.epoch and reached.step - began.step <= Divergence.LIMIT:
            # No progress since that checkpoint, so the checkpoint itself must be bad.
            self.checkpoints.drop_newest()
        epoch, step = self.checkpoints.restore(self.checkpoints.directory)
        self.checkpoints.learning_rate_scale.assign(SETBACK * scale)
        where = f"epoch {epoch}" + (f" and {step} steps" if step else "")
        tqdm.write(
            f"agad_tf: training has diverged: {error}. Going back to after {where}, with a learning rate of "
            f"{learning_rate * SETBACK * scale:.2g}.",
            file=sys.stderr,
        )
