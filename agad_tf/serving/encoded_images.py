"""Decoding of image files in the SavedModel: with TensorFlow only, and with the same colours as Pillow's."""

from functools import partial

import tensorflow as tf

from agad_tf.data.preprocessing import enough_pixels, to_network_input
from agad_tf.serving.orientation import orientation, turned_upright

# Weights of red, green and blue in a grey image, in 1/65536, as in Pillow.
LUMA = (19595, 38470, 7471)


def decode_files(
    encoded: tf.Tensor, image_size: tuple[int, int], channels: int, bits: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Reads image files, each by itself.

    Args:
        encoded: string (batch,), the content of files.
        image_size: height and width to resize to.
        channels: 1 (grey) or 3 (RGB).
        bits: of the values that the training images used, 8 or more.

    Returns:
        The images, float32 (batch, height, width, channels) in [-1, 1], 0 if a file cannot be read; and whether each
        file could be read, bool (batch,).
    """
    count = tf.size(encoded, tf.int64)
    blank = tf.zeros((*image_size, channels))
    files = tf.data.Dataset.from_tensor_slices(encoded).enumerate()
    read = files.map(
        lambda row, file: (row, _decode(file, image_size, channels, bits)), num_parallel_calls=tf.data.AUTOTUNE
    )
    # One more row, so that the batch is not empty if no file can be read.
    read = read.ignore_errors().concatenate(tf.data.Dataset.from_tensors((count, blank)))
    rows, images = read.batch(count + 1).get_single_element()
    rows, shape = rows[:, tf.newaxis], [count + 1]
    is_read = tf.scatter_nd(rows, tf.ones_like(rows[:, 0], tf.int32), shape)[:-1] > 0
    everything = tf.scatter_nd(rows, images, tf.concat([shape, tf.shape(blank, tf.int64)], axis=0))[:-1]
    return tf.ensure_shape(everything, (None, *image_size, channels)), is_read


def to_8_bits(values: tf.Tensor, bits: int) -> tf.Tensor:
    """Converts values of the given bits to uint8; higher values are clipped."""
    clipped = tf.minimum(tf.cast(values, tf.int32), 2 ** min(bits, 16) - 1)
    return tf.cast(tf.bitwise.right_shift(clipped, bits - 8), tf.uint8)


def _decode(encoded: tf.Tensor, image_size: tuple[int, int], channels: int, bits: int) -> tf.Tensor:
    pixels = tf.ensure_shape(_decode_pixels(encoded, image_size, bits), (None, None, None))
    pixels = turned_upright(pixels, orientation(encoded))
    has_colour = tf.shape(pixels)[-1] >= 3
    pixels = tf.cond(has_colour, lambda: pixels[..., :3], lambda: tf.repeat(pixels[..., :1], 3, axis=-1))
    if channels == 1:
        luma = tf.tensordot(tf.cast(pixels, tf.int32), LUMA, axes=1)
        pixels = tf.bitwise.right_shift(luma + 2**15, 16)[..., tf.newaxis]
    return to_network_input(pixels[tf.newaxis], image_size)[0]


def _decode_pixels(encoded: tf.Tensor, image_size: tuple[int, int], bits: int) -> tf.Tensor:
    # Recognised by its header: a JPEG, a BMP with a palette, or a PNG of 16 bits.
    is_jpeg = tf.strings.substr(encoded, 0, 3) == b"\xff\xd8\xff"
    has_palette = (tf.strings.substr(encoded, 0, 2) == b"BM") & (_number(encoded, 28, 2) <= 8)
    is_deep = (tf.strings.substr(encoded, 1, 3) == b"PNG") & (tf.strings.substr(encoded, 24, 1) == b"\x10")
    return tf.case(
        [
            (is_jpeg, lambda: _decode_jpeg(encoded, enough_pixels(image_size))),
            (has_palette, lambda: _decode_palette_bmp(encoded)),
            (is_deep, lambda: to_8_bits(tf.io.decode_png(encoded, dtype=tf.uint16), bits)),
        ],
        default=lambda: tf.io.decode_image(encoded, expand_animations=False),
    )


def _decode_jpeg(encoded: tf.Tensor, enough: int) -> tf.Tensor:
    """Grey or RGB, at the same reduced size as Pillow's."""
    shortest = tf.reduce_min(tf.io.extract_jpeg_shape(encoded)[:2])

    def at(ratio: int) -> tf.Tensor:
        # With the transform that Pillow uses; TensorFlow's default is faster and gives other values.
        return tf.io.decode_jpeg(encoded, ratio=ratio, dct_method="INTEGER_ACCURATE")

    reduced = [(shortest >= ratio * enough, partial(at, ratio)) for ratio in (8, 4, 2)]
    return tf.case(reduced, default=partial(at, 1))


def _decode_palette_bmp(encoded: tf.Tensor) -> tf.Tensor:
    """RGB, uint8 (height, width, 3); TensorFlow itself would take the indices for grey values."""
    header, compression = _number(encoded, 14, 4), _number(encoded, 30, 4)
    width, signed_height, depth = _number(encoded, 18, 4), _number(encoded, 22, 4), _number(encoded, 28, 2)
    height = tf.abs(signed_height)
    checks = [
        tf.debugging.assert_equal(compression, 0, "The BMP is compressed."),
        tf.debugging.assert_greater_equal(header, 40, "The BMP has no Windows header."),
        tf.debugging.assert_equal(8 % depth, 0, "The BMP's depth is not 1, 2, 4 or 8 bits."),
    ]
    with tf.control_dependencies(checks):
        colours = tf.where(_number(encoded, 46, 4) > 0, _number(encoded, 46, 4), tf.bitwise.left_shift(1, depth))
    palette = tf.reshape(tf.io.decode_raw(tf.strings.substr(encoded, 14 + header, 4 * colours), tf.uint8), (-1, 4))
    # Rows fill multiples of four bytes.
    stride = (width * depth + 31) // 32 * 4
    values = tf.io.decode_raw(tf.strings.substr(encoded, _number(encoded, 10, 4), height * stride), tf.uint8)
    rows = tf.cast(tf.reshape(values, (height, stride, 1)), tf.int32)
    # The highest bits of a byte are the leftmost pixel.
    shifts = tf.range(8 - depth, -1, -depth)
    indices = tf.bitwise.bitwise_and(tf.bitwise.right_shift(rows, shifts), tf.bitwise.left_shift(1, depth) - 1)
    indices = tf.reshape(indices, (height, stride * 8 // depth))[:, :width]
    # Rows are stored from the bottom up, unless the height is negative.
    indices = tf.cond(signed_height > 0, lambda: indices[::-1], lambda: indices)
    return tf.gather(palette[:, 2::-1], indices)


def _number(encoded: tf.Tensor, start: int, size: int) -> tf.Tensor:
    """The integer at a position in a file, int32; 0 beyond its end."""
    data = tf.io.decode_raw(tf.strings.substr(encoded + b"\0" * (start + size), start, size), tf.uint8)
    return tf.reduce_sum(tf.bitwise.left_shift(tf.cast(data, tf.int32), tf.range(0, 8 * size, 8)))
