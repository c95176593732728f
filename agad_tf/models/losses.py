"""Equations (5) to (11) of the paper and lines 7 and 10 of its Algorithm 1.

Pure functions of tensors that return one value for each image. Norms are taken per element
(‖v‖₁/n and ‖v‖₂/√n for a v of n elements), so that the weights λ mean the same for images and feature maps of any size.
"""

from typing import Any, NamedTuple

import tensorflow as tf
from keras import ops

Tensor = Any

# The loss terms by name; each is averaged over the images to which it applies.
BATCH_TERMS = ("generator_loss", "discriminator_loss")
NORMAL_TERMS = (
    "adversarial_loss",
    "contextual_loss",
    "contextual_adversarial_distance",
    "latent_loss",
    "discriminator_real_loss",
    "discriminator_fake_loss",
)
ANOMALY_TERMS = (
    "anomaly_adversarial_loss",
    "anomaly_distance",
    "anomaly_latent_loss",
    "discriminator_anomaly_loss",
)

# Share of an anomaly's pixels that count as abnormal if it has no mask.
HIGHEST_SHARE = 0.01

# Below this mean square, the gradient of the root is cut off, because it is infinite at 0.
_SMALLEST_MEAN_SQUARE = 1e-12


class LossWeights(NamedTuple):
    """The weights λ of equations (9) and (10), and the epsilon of its reciprocals."""

    adversarial: float = 1.0
    contextual: float = 50.0
    contextual_adversarial: float = 15.0
    latent: float = 5.0
    # Equation (10) divides by losses that may reach 0. Below a hundredth, of a nat or of half the pixel range,
    # an anomaly counts as fully reconstructed, and its loss stops growing: λ / (loss + epsilon).
    epsilon: float = 1e-2


def adversarial_loss(logits: Tensor, target: int) -> Tensor:
    """Binary cross-entropy l_adv of D's output, equation (5), from logits.

    Args:
        logits: D's output, float (batch, ...); losses of several logits of an image are averaged.
        target: 1 for "real", 0 for "fake".

    Returns:
        float (batch,), in nats, not negative.
    """
    # -log σ(l) = softplus(-l) and -log(1 - σ(l)) = softplus(l): no σ that could round to 0 or 1.
    losses = ops.softplus(-logits if target else logits)
    return ops.mean(losses, axis=_all_but_the_first(losses))


def contextual_loss(images: Tensor, reconstruction: Tensor) -> Tensor:
    """l_con = ‖x − x̂‖₁, equation (6).

    Args:
        images: x, float (batch, height, width, channels) in [-1, 1].
        reconstruction: x̂ = G(x), same shape and range.

    Returns:
        float (batch,), mean absolute difference, in [0, 2].
    """
    return _mean_absolute_difference(images, reconstruction)


def latent_loss(latent: Tensor, reconstruction_latent: Tensor) -> Tensor:
    """l_lat = ‖D_z(x) − D_z(x̂)‖₂, equation (7).

    Args:
        latent: D_z(x), float (batch, ...).
        reconstruction_latent: D_z(x̂), same shape.

    Returns:
        float (batch,), root mean square difference, not negative.
    """
    difference = latent - reconstruction_latent
    mean_square = ops.mean(ops.square(difference), axis=_all_but_the_first(difference))
    return ops.sqrt(ops.maximum(mean_square, _SMALLEST_MEAN_SQUARE))


def contextual_adversarial_distance(reconstruction: Tensor, re_reconstruction: Tensor) -> Tensor:
    """Distance d of a pseudo-anomaly from its reconstruction, equation (8) without its sign.

    Args:
        reconstruction: x̂ = G(x), float (batch, height, width, channels) in [-1, 1].
        re_reconstruction: G(x̂), same shape and range.

    Returns:
        float (batch,), mean absolute difference, in [0, 2].
    """
    return _mean_absolute_difference(reconstruction, re_reconstruction)


def normality_loss(
    adversarial: Tensor,
    contextual: Tensor,
    contextual_adversarial: Tensor,
    latent: Tensor,
    weights: LossWeights,
) -> Tensor:
    """L_n of a normal image, equation (9): λ_adv·l_adv(ŷ,1) + λ_con·l_con − λ_adcon·d + λ_lat·l_lat.

    Args:
        adversarial: l_adv(ŷ, 1), float (batch,).
        contextual: l_con, float (batch,).
        contextual_adversarial: the distance d of equation (8), float (batch,); zeros train without C.A.
        latent: l_lat, float (batch,).
        weights: the λ.

    Returns:
        float (batch,).
    """
    return (
        weights.adversarial * adversarial
        + weights.contextual * contextual
        - weights.contextual_adversarial * contextual_adversarial
        + weights.latent * latent
    )


def anomaly_loss(adversarial: Tensor, distance: Tensor, latent: Tensor, weights: LossWeights) -> Tensor:
    """L_a of an anomaly, equation (10): λ_adv / l_adv(ŷ,0) + λ_adcon / d_a + λ_lat·l_lat.

    Args:
        adversarial: l_adv(ŷ, 0), float (batch,).
        distance: d_a, float (batch,): ‖x − x̂‖₁ by equation (3), or ‖x̂ − G(x̂)‖₁ by line 9.
        latent: l_lat, float (batch,).
        weights: the λ, and the epsilon that keeps both reciprocals finite.

    Returns:
        float (batch,), not negative.
    """
    return (
        weights.adversarial / (adversarial + weights.epsilon)
        + weights.contextual_adversarial / (distance + weights.epsilon)
        + weights.latent * latent
    )


def total_loss(labels: Tensor, anomaly: Tensor, normality: Tensor) -> Tensor:
    """y·L_a + (1 − y)·L_n, equation (11).

    Args:
        labels: y, float (batch,): 0 normal, 1 abnormal.
        anomaly: L_a, float (batch,).
        normality: L_n, float (batch,).

    Returns:
        float (batch,).
    """
    return labels * anomaly + (1 - labels) * normality


def discriminator_loss(labels: Tensor, real: Tensor, fake: Tensor, anomaly: Tensor) -> Tensor:
    """L_d: l_adv(ŷ,0) + l_adv(y,1) for a normal image (line 7), l_adv(y,0) for an anomaly (line 10).

    Args:
        labels: float (batch,): 0 normal, 1 abnormal.
        real: l_adv(y, 1) of the image, float (batch,).
        fake: l_adv(ŷ, 0) of its reconstruction, float (batch,).
        anomaly: l_adv(y, 0) of the image, float (batch,): a true anomaly counts as fake.

    Returns:
        float (batch,), not negative.
    """
    return labels * anomaly + (1 - labels) * (fake + real)


def structural_loss(images: Tensor, reconstruction: Tensor) -> Tensor:
    """1 − SSIM, how far the structure of a reconstruction is from that of the image (Wang et al. 2004).

    Args:
        images: x, float (batch, height, width, channels) in [-1, 1], at least 11 pixels a side.
        reconstruction: x̂, same shape and range.

    Returns:
        float (batch,), in [0, 2].
    """
    return 1 - tf.image.ssim(images, reconstruction, max_val=2.0)


def focal_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Binary cross-entropy of each pixel, with less weight for easy pixels (Lin et al. 2017).

    Few pixels are altered. The factor (1 − p)², with the probability p of the correct class, reduces the weight of
    pixels that are already classified correctly.

    Args:
        logits: the segmentation map, float (batch, height, width, 1), above 0 for "abnormal".
        masks: 1 where a pixel is abnormal, else 0, same shape.

    Returns:
        float (batch,), in nats, not negative: the mean over pixels.
    """
    signed = logits * (2 * masks - 1)
    cross_entropy = ops.softplus(-signed)  # −log p of the truth
    return ops.mean(ops.square(ops.sigmoid(-signed)) * cross_entropy, axis=(1, 2, 3))


def highest_pixels_loss(logits: Tensor) -> Tensor:
    """Focal loss of an anomaly without a mask: its highest pixels should be "abnormal".

    Args:
        logits: the segmentation map, float (batch, height, width, 1), above 0 for "abnormal".

    Returns:
        float (batch,), in nats, not negative: of the mean of the highest pixels, a share of `HIGHEST_SHARE`.
    """
    flat = ops.reshape(logits, (-1, logits.shape[1] * logits.shape[2]))
    highest = ops.mean(ops.top_k(flat, max(1, int(HIGHEST_SHARE * flat.shape[1])))[0], axis=1)
    return ops.square(ops.sigmoid(-highest)) * ops.softplus(-highest)


def _mean_absolute_difference(a: Tensor, b: Tensor) -> Tensor:
    difference = ops.abs(a - b)
    return ops.mean(difference, axis=_all_but_the_first(difference))


def _all_but_the_first(tensor: Tensor) -> tuple[int, ...]:
    return tuple(range(1, len(tensor.shape)))
