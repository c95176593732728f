"""Full depth for TIFFs of 16-bit colours, of which Pillow keeps only the upper 8 bits."""

import io
import struct

import numpy as np
from PIL import Image

# Tags of the directory, see the TIFF 6.0 specification.
_WIDTH, _BITS, _PHOTOMETRIC, _CHANNELS, _PLANES, _PREDICTOR, _TILE, _FORMAT = 256, 258, 262, 277, 284, 317, 322, 339
# The tag for the meaning of additional channels, and an unused tag of the same type right before it.
_EXTRA, _UNUSED = 338, 336
_SHORT, _LONG = 3, 4


def has_colours_of_16_bits(picture: Image.Image) -> bool:
    """Whether an image is a TIFF of RGB with 16 bits, with or without alpha."""
    bits = getattr(picture, "tag_v2", {}).get(_BITS, ())
    return picture.format == "TIFF" and set(bits) == {16} and picture.mode in ("RGB", "RGBA", "RGBX")


def colours_of_tiff(data: bytes, picture: Image.Image) -> np.ndarray:
    """The colours of a TIFF at their full depth.

    The directory of the file is rewritten to a single grey channel with longer rows, which Pillow reads at full depth.

    Args:
        data: of the file.
        picture: the same, opened.

    Returns:
        uint16 (height, width, 3).

    Raises:
        OSError: Pillow cannot read it, or its colours are in tiles or planes.
    """
    width, height = picture.size
    tags = picture.tag_v2  # type: ignore[attr-defined]
    if _TILE in tags or tags.get(_PLANES, 1) != 1:
        raise OSError("its 16-bit colours are in tiles or planes; save it as PNG")
    channels = len(tags[_BITS])
    as_grey = {_WIDTH: width * channels, _BITS: 16, _PHOTOMETRIC: 1, _CHANNELS: 1, _PREDICTOR: 1, _FORMAT: 1}
    with Image.open(io.BytesIO(_with_tags(data, as_grey))) as grey:
        values = np.asarray(grey).astype(np.uint16).reshape(height, width, channels)
    if tags.get(_PREDICTOR, 1) == 2:
        # Each value is the difference from the previous value of the same channel.
        values = np.cumsum(values, axis=1, dtype=np.uint16)
    return values[..., :3]


def _with_tags(data: bytes, tags: dict[int, int]) -> bytes:
    """The file with other values for tags in its first directory."""
    order = "<" if data.startswith(b"II") else ">"
    changed = bytearray(data)
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, start)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        (tag,) = struct.unpack_from(f"{order}H", data, entry)
        if tag in tags:
            kind = _LONG if tag == _WIDTH else _SHORT
            value = f"{order}HI" + ("I" if kind == _LONG else "H2x")
            struct.pack_into(value, changed, entry + 2, kind, 1, tags[tag])
        elif tag == _EXTRA:
            # A single channel leaves none beyond the colours.
            struct.pack_into(f"{order}H", changed, entry, _UNUSED)
    return bytes(changed)
