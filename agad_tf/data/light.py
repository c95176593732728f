"""Variation of light and exposure in training: brightness, contrast and gamma of whole images change a little.

If light varies between images without meaning, a detector that has seen this variation ignores it.
"""

import numpy as np
import tensorflow as tf

from agad_tf.data.random_fields import STEPS, between, of_table, uniform

# Greatest changes at strength 1: factors for gain and gamma, and an offset in a range of 2.
MOST_GAIN, MOST_GAMMA, MOST_OFFSET = 1.6, 1.6, 0.4


def vary_light(images: tf.Tensor, seeds: tf.Tensor, strength: float) -> tf.Tensor:
    """Changes gain, offset and gamma of whole images, each by its own random numbers.

    Args:
        images: float32 (images, height, width, channels) in [-1, 1].
        seeds: int32 (images,), of the random numbers of each.
        strength: in [0, 1]; 0 leaves images as they are, and about 0.3 is mild. Gain and gamma are at most 1.6 to the
            power of it, up or down, and the offset is at most 0.4 times it.

    Returns:
        float32, of the same shape and range. The channels of a colour image are changed alike.

    Raises:
        ValueError: the strength is out of range.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"The strength of light variation must be from 0 to 1, not {strength}.")
    if strength == 0:
        return images
    draws = uniform(seeds, [3], stream=3)[:, :, tf.newaxis, tf.newaxis, tf.newaxis]
    gain = between(MOST_GAIN**-strength, MOST_GAIN**strength, draws[:, 0])
    offset = strength * MOST_OFFSET * (2 * draws[:, 1] - 1)
    # Schlick's curve is close to light ** gamma and meets it in the middle. A division is exact to the same digit in
    # any batch, but a power may not be.
    gamma = np.geomspace(MOST_GAMMA**-strength, MOST_GAMMA**strength, STEPS)
    bend = of_table(2.0**gamma - 2, draws[:, 2])
    light = (images + 1) / 2
    light = light / (1 + bend * (1 - light))
    # Gain around middle grey changes contrast.
    return tf.clip_by_value(gain * (2 * light - 1) + offset, -1, 1)
