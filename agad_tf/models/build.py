"""Builds a compiled model from the values of options."""

import keras

from agad_tf.config.choices import PEAK
from agad_tf.config.errors import UsageError
from agad_tf.config.experiment import ExperimentConfig
from agad_tf.config.seconds import CLOCK
from agad_tf.models import ganomaly, skip_ganomaly
from agad_tf.models.agad import AGAD
from agad_tf.models.ganomaly import GANomaly
from agad_tf.models.losses import LossWeights
from agad_tf.models.segmenting_agad import SegmentingAGAD
from agad_tf.models.skip_ganomaly import SkipGANomaly
from agad_tf.networks import build_code_comparing_generator, build_discriminator, build_generator, build_segmenter

METHODS = {"agad": AGAD, "ganomaly": GANomaly, "skip_ganomaly": SkipGANomaly}
PUBLISHED_WEIGHTS = {"ganomaly": ganomaly.PUBLISHED_WEIGHTS, "skip_ganomaly": skip_ganomaly.PUBLISHED_WEIGHTS}


@CLOCK.within("model")
def build_model(config: ExperimentConfig, image_shape: tuple[int, int, int], steps_per_epoch: int = 1) -> AGAD:
    """Builds and compiles the model of an experiment, with its initial weights.

    Args:
        config: the experiment.
        image_shape: height and width of the images in pixels, in multiples of 16, and channels, 1 or 3.
        steps_per_epoch: of the training; one execution takes a divisor of it.

    Returns:
        The compiled model.

    Raises:
        UsageError: the networks see whole images, but these are not square.
    """
    keras.utils.set_random_seed(config.seed)
    network_shape = _network_shape(config.crop_size, image_shape)
    policy = "float32" if config.mixed_precision == "none" else f"mixed_{config.mixed_precision}"
    own_weights = LossWeights(
        config.lambda_adv, config.lambda_con, config.lambda_adcon, config.lambda_lat, config.reciprocal_epsilon
    )
    network = (network_shape, config.width, config.normalization, config.seed, policy)
    generator = (
        build_code_comparing_generator(*network)
        if config.method == "ganomaly"
        else build_generator(config.generator, *network)
    )
    options = {
        "contextual_adversarial": config.contextual_adversarial,
        "anomaly_distance": config.anomaly_distance,
        "anomaly_normalization": config.anomaly_normalization,
        "pseudo_anomaly_normalization": config.pseudo_anomaly_normalization,
        "loss_weights": PUBLISHED_WEIGHTS.get(config.method, own_weights),
        "reinit_threshold": config.reinit_threshold,
        "ema_momentum": config.ema_momentum,
        "seed": config.seed,
    }
    model: AGAD
    if config.score == PEAK:
        model = SegmentingAGAD(
            generator,
            build_discriminator(*network),
            build_segmenter(*network) if config.segmentation else None,
            scoring_shape=image_shape,
            altered_share=config.local_anomalies,
            scales=config.scales,
            light=config.light_variation,
            aligned=config.aligned,
            **options,
        )
    else:
        model = METHODS[config.method](generator, build_discriminator(*network), residual_norm=config.score, **options)
    jit_compile: dict[str, bool | str] = {"auto": "auto", "true": True, "false": False}
    equal_parts = (n for n in range(config.steps_per_execution, 0, -1) if steps_per_epoch % n == 0)
    own_optimizers = {"segmenter_optimizer": _optimizer(config)} if config.segmentation else {}
    model.compile(
        _optimizer(config),
        _optimizer(config),
        jit_compile[config.jit_compile],
        steps_per_execution=next(equal_parts),
        synchronized_batch_norm=config.synchronized_batch_norm,
        **own_optimizers,
    )
    return model


def _network_shape(crop_size: int, image_shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """The input shape of the networks, which is square: a crop of an image, or the whole image."""
    height, width, channels = image_shape
    if not crop_size and height != width:
        raise UsageError(
            f"The networks see whole images, which must be square, but their size is {height}x{width}; give "
            f"--image_size one number, or train on crops with --recipe=own_images."
        )
    side = min(crop_size or height, height, width)
    return side, side, channels


def _optimizer(config: ExperimentConfig) -> keras.optimizers.Optimizer:
    adam = keras.optimizers.Adam(config.learning_rate, config.beta_1, config.beta_2)
    # Small gradients would be 0 in float16; bfloat16 has the range of float32.
    return keras.optimizers.LossScaleOptimizer(adam) if config.mixed_precision == "float16" else adam
