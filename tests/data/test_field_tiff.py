"""TIFFs of colours with 16 bits, of which Pillow keeps 8."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from agad_tf.config.errors import RunError
from agad_tf.data.pixel_range import FULL_RANGE, PixelRange
from agad_tf.data.readers import decode_picture, depth_of
from tests.data.files import task_of

RNG = np.random.default_rng(0)
PREDICTOR, TILE_WIDTH, EXTRA_SAMPLES, SAMPLE_FORMAT = 317, 322, 338, 339


def colour_tiff(values, compression="raw", order="<", **tags):
    """A TIFF of uint16 (height, width, channels): a grey one that Pillow writes, with the directory of colours."""
    height, width, channels = values.shape
    file = io.BytesIO()
    image = Image.frombytes("I;16", (width * channels, height), values.astype("<u2").tobytes())
    image.save(file, "TIFF", compression=compression)
    data = file.getvalue()
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    entries = [struct.unpack_from("<HHII", data, start + 2 + 12 * number) for number in range(count)]
    directory = {tag: (kind, number, value) for tag, kind, number, value in entries}
    directory |= {256: (4, 1, width), 258: (3, channels, len(data)), 262: (3, 1, 2), 277: (3, 1, channels)}
    directory |= {int(tag): (3, 1, value) for tag, value in tags.items()}
    data += struct.pack(f"<{channels}H", *[16] * channels)
    data = data[:4] + struct.pack("<I", len(data)) + data[8:] + struct.pack("<H", len(directory))
    return data + b"".join(struct.pack("<HHII", tag, *directory[tag]) for tag in sorted(directory)) + bytes(4)


def big_endian_tiff(values):
    """The same without compression, in the other order of bytes."""
    height, width, channels = values.shape
    pixels = values.astype(">u2").tobytes()
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, 8), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 14)]
    entries += [(277, 3, 1, channels), (278, 4, 1, height), (279, 4, 1, len(pixels))]
    data = b"MM\0*" + struct.pack(">I3H", 14 + len(pixels), 16, 16, 16) + pixels + struct.pack(">H", len(entries))
    for tag, kind, count, value in entries:
        data += struct.pack(">HHI" + ("H2x" if kind == 3 and count == 1 else "I"), tag, kind, count, value)
    return data + bytes(4)


def differences(values):
    return np.diff(values.astype(np.int64), axis=1, prepend=0).astype(np.uint16)


VALUES = RNG.integers(0, 4096, (40, 30, 3)).astype(np.uint16)
WITH_ALPHA = RNG.integers(0, 4096, (40, 30, 4)).astype(np.uint16)
FORMS = {
    "plain": (colour_tiff(VALUES), VALUES),
    "big-endian": (big_endian_tiff(VALUES), VALUES),
    "LZW": (colour_tiff(VALUES, "tiff_lzw"), VALUES),
    "LZW of differences": (colour_tiff(differences(VALUES), "tiff_lzw", **{str(PREDICTOR): 2}), VALUES),
    "Deflate": (colour_tiff(VALUES, "tiff_adobe_deflate"), VALUES),
    "alpha": (colour_tiff(WITH_ALPHA, **{str(EXTRA_SAMPLES): 2}), WITH_ALPHA),
    "several strips": (colour_tiff(np.tile(VALUES, (9, 9, 1)), "tiff_lzw"), np.tile(VALUES, (9, 9, 1))),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_tiff_of_16_bit_colours_is_read_at_the_depth_of_its_set(form):
    data, values = FORMS[form]
    colours = values[..., :3]
    assert depth_of("a.tif", data).highest == colours.max()
    np.testing.assert_array_equal(decode_picture("a.tif", data, pixel_range=PixelRange(bits=12)), colours >> 4)
    np.testing.assert_array_equal(decode_picture("a.tif", data, pixel_range=FULL_RANGE), colours >> 8)


def test_a_set_of_12_bit_colours_in_tiff_is_not_dark(tmp_path, capsys):
    for name, count in (("good", 10), ("bad", 4)):
        (tmp_path / name).mkdir()
        for number in range(count):
            values = RNG.integers(0, 4096, (16, 16, 3)).astype(np.uint16)
            (tmp_path / name / f"{number}.tif").write_bytes(colour_tiff(values))
    source, _ = task_of(tmp_path)
    assert "read as 12-bit values: 4095 is white" in capsys.readouterr().err
    assert source.channels == 3 and np.asarray(source.x_train).max() > 250


def test_a_tiff_whose_colours_lie_in_planes_is_refused_where_their_depth_counts():
    data = colour_tiff(np.tile(VALUES, (1, 1, 1)), **{"284": 2})
    assert depth_of("a.tif", data) is not None
    with pytest.raises(RunError, match="16-bit colours are in tiles or planes; save it as PNG"):
        decode_picture("a.tif", data, pixel_range=PixelRange(bits=12))


def test_a_tiff_of_half_precision_colours_is_refused_with_a_way_out():
    data = colour_tiff(VALUES, **{str(SAMPLE_FORMAT): 3})
    with pytest.raises(RunError, match=r"a\.tif is a TIFF .* floating-point colours; save it as PNG"):
        decode_picture("a.tif", data)
