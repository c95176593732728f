"""The figures of the AGAD paper (arXiv 2304.04211): mean AUROC over classes in %, by the protocol family."""

from collections.abc import Mapping
from typing import Any

from agad_tf.config.choices import WHERE_AND_HOW
from agad_tf.config.experiment import DEFAULTS

# Options that the paper's tables vary, that it does not mention, or that change only rounding. All other options must
# be at their defaults, which are the paper's, for a published figure to apply.
_FREE = (
    *("dataset", "normal_class", "gamma", "generator", "contextual_adversarial", "seed"),
    *("epochs", "learning_rate_schedule", "validation_fraction", "mixed_precision", "jit_compile"),
    *("synthetic_share", "synchronized_batch_norm"),
    *WHERE_AND_HOW,
)
_FIXED = tuple(name for name in DEFAULTS if name not in _FREE)

# Data set and generator, γ = 0.
_NORMAL_ONLY = {
    ("mnist", "encoder_decoder"): 99.1,
    ("mnist", "unet"): 67.4,
    ("mnist", "unet_plus_plus"): 89.4,
    ("fashion_mnist", "encoder_decoder"): 99.2,
    ("fashion_mnist", "unet"): 98.3,
    ("fashion_mnist", "unet_plus_plus"): 99.9,
    ("cifar10", "encoder_decoder"): 71.0,
    ("cifar10", "unet"): 92.5,
    ("cifar10", "unet_plus_plus"): 98.3,
    ("cifar100", "encoder_decoder"): 71.6,
    ("cifar100", "unet"): 92.8,
    ("cifar100", "unet_plus_plus"): 96.3,
}
# Data set and γ; the paper uses the naive generator for MNIST and UNet++ for the others.
_WITH_ANOMALIES = {
    ("mnist", 0.01): 99.4,
    ("mnist", 0.05): 99.9,
    ("mnist", 0.1): 100.0,
    ("mnist", 0.2): 100.0,
    ("fashion_mnist", 0.01): 100.0,
    ("fashion_mnist", 0.05): 100.0,
    ("fashion_mnist", 0.1): 100.0,
    ("fashion_mnist", 0.2): 100.0,
    ("cifar10", 0.01): 98.6,
    ("cifar10", 0.05): 99.8,
    ("cifar10", 0.1): 99.9,
    ("cifar10", 0.2): 100.0,
}
_GENERATOR_WITH_ANOMALIES = {"mnist": "encoder_decoder"}
# Without contextual adversarial information, γ = 0.
_WITHOUT_CONTEXTUAL_ADVERSARIAL = {("cifar10", "unet"): 88.9}


def published_auroc(settings: Mapping[str, Any]) -> str:
    """The published figure of a setting.

    Args:
        settings: values of options of `ExperimentConfig`, at least "dataset", "generator" and "gamma"; missing options
            have their defaults, and other keys are ignored.

    Returns:
        Mean AUROC in %, with the generator if the paper used another one; empty if it has no figure.
    """
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
    if any(given.get(name, DEFAULTS[name]) != DEFAULTS[name] for name in _FIXED):
        return ""
    dataset, generator, gamma = (settings[name] for name in ("dataset", "generator", "gamma"))
    contextual_adversarial = settings.get("contextual_adversarial", True)
    if gamma == 0:
        figures = _NORMAL_ONLY if contextual_adversarial else _WITHOUT_CONTEXTUAL_ADVERSARIAL
        return _text(figures.get((dataset, generator)))
    if not contextual_adversarial:
        return ""
    used = _GENERATOR_WITH_ANOMALIES.get(dataset, "unet_plus_plus")
    figure = _text(_WITH_ANOMALIES.get((dataset, gamma)))
    return f"{figure} ({used})" if figure and used != generator else figure


def _text(figure: float | None) -> str:
    return "" if figure is None else f"{figure:.1f}"
