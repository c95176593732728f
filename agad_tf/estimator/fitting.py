"""Trains the model of an `AGADDetector`."""

from agad_tf.config.errors import RunError
from agad_tf.config.experiment import ExperimentConfig
from agad_tf.data.image_size import fitting_size
from agad_tf.data.splits import Split
from agad_tf.data.training_batches import plan_batches, training_batches
from agad_tf.data.training_inputs import training_inputs
from agad_tf.estimator.random_state import random_state_kept
from agad_tf.models.agad import AGAD
from agad_tf.models.build import build_model
from agad_tf.models.segmenting_agad import SegmentingAGAD
from agad_tf.training.divergence import DivergedError, Divergence
from agad_tf.training.learning_rate import LearningRate
from agad_tf.training.normal_residuals import NormalResiduals
from agad_tf.training.usual_maps import UsualMaps


def fitted_model(config: ExperimentConfig, train: Split, reference: Split | None, verbose: int) -> AGAD:
    """Builds a model and trains it.

    Args:
        config: the experiment. If there are fewer training images than its batch size, they form one batch.
        train: the training images, arrays of one shape.
        reference: normal images for the statistics of the score "peak"; None means the training images.
        verbose: as in Keras' `fit`.

    Returns:
        The trained model.

    Raises:
        UsageError: there are too few images for a batch.
        RunError: the losses have diverged.
    """
    batch_size = min(config.batch_size, len(train.labels))
    plan = plan_batches(
        train,
        batch_size,
        max(1, config.min_anomalies * batch_size // config.batch_size),
        kinds=config.synthetic_anomalies,
        synthetic_share=config.synthetic_share,
        horizontal_flip=config.horizontal_flip,
        least_steps=config.steps_per_epoch,
    )
    height, width, channels = train.images.shape[1:]
    sides = fitting_size(config.image_size, height, width, keep_shape=bool(config.crop_size))
    with random_state_kept():
        model = build_model(config, (*sides, channels), plan.steps_per_epoch)
        has_parts = isinstance(model, SegmentingAGAD)
        window = model.training_window if has_parts else None
        inputs = training_inputs(train, sides, window=window, seed=config.seed)
        try:
            model.fit(
                training_batches(inputs, plan, config.epochs, config.seed),
                steps_per_epoch=plan.steps_per_epoch,
                epochs=config.epochs,
                shuffle=False,
                verbose=verbose,
                callbacks=[
                    LearningRate(config.learning_rate, config.learning_rate_schedule, config.epochs),
                    Divergence(plan.steps_per_epoch),
                    UsualMaps(inputs, reference, config.epochs) if has_parts else NormalResiduals(inputs),
                ],
            )
        except DivergedError as error:
            raise RunError(f"Training has diverged: {error}. Fit with a lower learning_rate.") from error
    return model
