"""TIFFs of colours with 16 bits, which Pillow does not read."""

import struct

import numpy as np
import pytest

from agad_tf.config.errors import RunError
from agad_tf.data.readers import decode_picture


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_of_16_bit_colours_is_refused_with_a_way_out(order):
    pixels = np.zeros((4, 4, 3), f"{order}u2").tobytes()
    # Width, height, bits of a channel (three numbers at 8), RGB, where the pixels are, channels, rows, bytes.
    bits_at, pixels_at = 8, 14
    entries = [(256, 3, 1, 4), (257, 3, 1, 4), (258, 3, 3, bits_at), (259, 3, 1, 1), (262, 3, 1, 2)]
    entries += [(273, 4, 1, pixels_at), (277, 3, 1, 3), (278, 3, 1, 4), (279, 4, 1, len(pixels)), (339, 3, 1, 3)]
    header = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", pixels_at + len(pixels))
    data = header + struct.pack(f"{order}3H", 16, 16, 16) + pixels + struct.pack(f"{order}H", len(entries))
    for tag, kind, count, value in entries:
        short = kind == 3 and count == 1
        data += struct.pack(
            f"{order}HHI" + ("HH" if short else "I"), tag, kind, count, *([value, 0] if short else [value])
        )
    with pytest.raises(RunError, match=r"a\.tif is a TIFF .* 16-bit colour; save it as PNG"):
        decode_picture("a.tif", data + bytes(4))
