"""Turns encoded images upright by their EXIF data, as Pillow does, with TensorFlow only."""

import tensorflow as tf

_ORIENTATION_TAG = 0x0112
# Number of entries that are read of the first directory, which follows soon after the header.
_ENTRIES, _FARTHEST = 64, 1024
_DIRECTORY_BYTES = 2 + 12 * _ENTRIES


def orientation(encoded: tf.Tensor) -> tf.Tensor:
    """The orientation in the EXIF data of a JPEG, PNG or WebP.

    Args:
        encoded: string, the content of a file.

    Returns:
        int32, 1 to 8 as in EXIF; 1, upright, if there is none.
    """
    is_png = tf.strings.substr(encoded, 1, 3) == b"PNG"
    is_webp = tf.strings.substr(encoded, 8, 4) == b"WEBP"
    mark = tf.where(is_png, b"eXIf", tf.where(is_webp, b"EXIF", b"Exif\0\0"))
    behind = tf.strings.split([encoded], mark, maxsplit=1).flat_values[-1]
    # The size of WebP's chunk comes first.
    size_bytes = tf.where(is_webp, 4, 0)
    padding = b"\0" * (4 + _FARTHEST + _DIRECTORY_BYTES)
    exif = tf.strings.substr(behind + padding, size_bytes, _FARTHEST + _DIRECTORY_BYTES)
    header = tf.strings.substr(exif, 0, 4)
    is_big_endian = header == b"MM\0*"

    def number(data: tf.Tensor) -> tf.Tensor:
        """The number in two bytes along the last axis."""
        first, second = data[..., 0], data[..., 1]
        return tf.where(is_big_endian, 256 * first + second, first + 256 * second)

    offset = tf.cast(tf.io.decode_raw(tf.strings.substr(exif, 4, 4), tf.uint8), tf.int32)
    start = tf.minimum(number(tf.where(is_big_endian, offset[2:], offset[:2])), _FARTHEST)
    directory = tf.io.decode_raw(tf.strings.substr(exif, start, _DIRECTORY_BYTES), tf.uint8)
    directory = tf.cast(directory, tf.int32)
    entries = tf.reshape(directory[2:_DIRECTORY_BYTES], (_ENTRIES, 12))
    is_orientation = (number(entries[:, :2]) == _ORIENTATION_TAG) & (tf.range(_ENTRIES) < number(directory[:2]))
    found = tf.reduce_max(tf.where(is_orientation, number(entries[:, 8:10]), 0))
    is_exif = is_big_endian | (header == b"II*\0")
    return tf.where(is_exif & (found >= 1) & (found <= 8), found, 1)


def turned_upright(pixels: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns an image upright.

    Args:
        pixels: (height, width, channels).
        orientation: int32, 1 to 8 as in EXIF.

    Returns:
        The image, of the same type.
    """

    def is_one_of(*numbers: int) -> tf.Tensor:
        return tf.reduce_any(orientation == tf.constant(numbers))

    pixels = tf.cond(orientation >= 5, lambda: tf.transpose(pixels, (1, 0, 2)), lambda: pixels)
    pixels = tf.cond(is_one_of(2, 3, 6, 7), lambda: tf.reverse(pixels, (1,)), lambda: pixels)
    return tf.cond(is_one_of(3, 4, 7, 8), lambda: tf.reverse(pixels, (0,)), lambda: pixels)
