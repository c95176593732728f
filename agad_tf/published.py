"""The figures of the AGAD paper (arXiv 2304.04211): mean AUROC over classes in %, by the family's leaking protocol."""

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


def published_auroc(method: str, dataset: str, generator: str, gamma: float) -> str:
    """What the paper says of a setting.

    Args:
        method: one of `agad_tf.config.METHODS`.
        dataset: one of `agad_tf.config.CLASS_COUNTS`.
        generator: one of `agad_tf.config.GENERATORS`.
        gamma: γ, in [0, 1).

    Returns:
        Mean AUROC in %, with the generator where the paper used another one; empty where it has no figure.
    """
    if method != "agad":
        return ""
    if gamma == 0:
        return _text(_NORMAL_ONLY.get((dataset, generator)))
    used = _GENERATOR_WITH_ANOMALIES.get(dataset, "unet_plus_plus")
    figure = _text(_WITH_ANOMALIES.get((dataset, gamma)))
    return f"{figure} ({used})" if figure and used != generator else figure


def _text(figure: float | None) -> str:
    return "" if figure is None else f"{figure:.1f}"
