"""Outputs of the networks of a `SegmentingAGAD` for images of one size; large images are processed in tiles."""

from functools import partial

import keras
import tensorflow as tf

from agad_tf.models.network_copies import call_keeping_statistics, resized
from agad_tf.models.tiles import in_tiles, tiling
from agad_tf.networks.reach import Reach, reach_of

Networks = tuple[keras.Model, keras.Model | None]
"""Generator, and the segmenter or None."""


class Look:
    """Reconstructions of images of one size, and maps of residuals and of the segmenter.

    Generator and segmenter process a tile together, so each part of an image is reconstructed once. Images no larger
    than a tile are processed whole.

    Args:
        networks: for images of this size.
        reach: of the networks, one after the other; None means that images of any size are processed whole.
        largest: greatest side of a tile in pixels.
    """

    def __init__(self, networks: Networks, reach: Reach | None, largest: int):
        self.networks = networks
        size = tuple(networks[0].input_shape[1:3])
        self.tiles = None
        if reach is not None and max(size) > largest:
            self.tiles = tiling(size, reach, largest)
            generator, segmenter = networks
            tile = self.tiles.tile
            self._of_tile = resized(generator, tile), None if segmenter is None else resized(segmenter, tile)

    def maps(self, images: tf.Tensor) -> tf.Tensor:
        """Maps with moving statistics. Without reconstructions, a large image takes less memory.

        Args:
            images: float (images, height, width, channels) in [-1, 1].

        Returns:
            float (images, height, width, kinds): mean absolute residuals and, with a segmenter, its logits.
        """
        if self.tiles is None:
            return _seen(self.networks, images)[1]
        return in_tiles(lambda tile: _seen(self._of_tile, tile)[1], images, self.tiles)

    def reconstructions(self, images: tf.Tensor, batch_statistics: bool = False) -> tf.Tensor:
        """Reconstructions alone; arguments as those of `reconstructions_and_maps`."""
        if self.tiles is None or batch_statistics:
            return call_keeping_statistics(self.networks[0], images, batch_statistics)
        return in_tiles(lambda tile: call_keeping_statistics(self._of_tile[0], tile, False), images, self.tiles)

    def reconstructions_and_maps(
        self, images: tf.Tensor, batch_statistics: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Reconstructions and maps from one pass.

        Args:
            images: float (images, height, width, channels) in [-1, 1].
            batch_statistics: whether to normalise by the batch. Images are then processed whole.

        Returns:
            Like `images`, and what `maps` returns.
        """
        if self.tiles is None or batch_statistics:
            return _seen(self.networks, images, batch_statistics)
        return in_tiles(partial(_seen, self._of_tile), images, self.tiles, (tf.float32, tf.float32))


def reach_for_tiles(networks: Networks, largest: int) -> Reach | None:
    """The reach of networks, one after the other, or None if tiles cannot give the result of the whole image.

    Args:
        networks: as they were made, for images of any size.
        largest: greatest side of a tile in pixels.
    """
    generator, segmenter = networks
    try:
        reach = reach_of(generator) if segmenter is None else reach_of(generator, segmenter)
    except ValueError:
        # A layer depends on the whole image, such as group normalisation.
        return None
    return reach if 2 * reach.margin + reach.stride <= largest else None


def _seen(networks: Networks, images: tf.Tensor, batch_statistics: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
    generator, segmenter = networks
    reconstruction = call_keeping_statistics(generator, images, batch_statistics)
    kinds = [tf.reduce_mean(tf.abs(images - reconstruction), axis=-1, keepdims=True)]
    if segmenter is not None:
        pair = tf.concat([images, reconstruction], axis=-1)
        kinds.append(call_keeping_statistics(segmenter, pair, batch_statistics))
    return reconstruction, tf.concat(kinds, axis=-1)
