"""A training run that leaves nothing behind: for looking at a recipe."""

import keras

from agad_tf.config.experiment import ExperimentConfig
from agad_tf.data.splits import OneClassTask
from agad_tf.data.training_batches import plan_batches, training_batches
from agad_tf.data.training_inputs import training_inputs
from agad_tf.models.agad import AGAD
from agad_tf.training.learning_rate import LearningRate
from agad_tf.training.normal_residuals import NormalResiduals


def train_bare(model: AGAD, config: ExperimentConfig, task: OneClassTask, *callbacks: keras.callbacks.Callback) -> None:
    """Trains a model by the batches and learning rates of `agad_tf.training.run.train`, on one device and unguarded.

    Args:
        model: from `agad_tf.models.build.build_model`.
        config: the experiment.
        task: the images.
        callbacks: called after those that set the learning rate and find what residuals are usual.
    """
    plan = plan_batches(
        task.train,
        config.batch_size,
        config.min_anomalies,
        kinds=config.synthetic_anomalies,
        synthetic_share=config.synthetic_share,
        horizontal_flip=config.horizontal_flip,
    )
    inputs = training_inputs(task.train, config.image_size)
    model.fit(
        training_batches(inputs, plan, config.epochs, config.seed),
        steps_per_epoch=plan.steps_per_epoch,
        epochs=config.epochs,
        shuffle=False,
        verbose=0,
        callbacks=[
            LearningRate(config.learning_rate, config.learning_rate_schedule, config.epochs),
            NormalResiduals(inputs),
            *callbacks,
        ],
    )
