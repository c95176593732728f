"""Image files that are sent to a SavedModel: faults of whole kinds that users have met."""

import io
from functools import partial

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from agad_tf.data import images_in_files
from agad_tf.evaluation.thresholds import Decision
from agad_tf.serving import encoded_images
from agad_tf.serving.saved_model import export_saved_model

RNG = np.random.default_rng(0)
COLOUR = Image.fromarray(RNG.integers(0, 256, (21, 19, 3), np.uint8))
GREY = COLOUR.convert("L")


def file_of(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def bmp_of_4_bits(image):
    """A BMP of 16 colours, which Pillow reads and does not write."""
    few = image.quantize(16)
    indices = np.pad(np.asarray(few), ((0, 0), (0, -few.width % 8)))[::-1]
    palette = np.zeros((16, 4), np.uint8)
    colours = np.array(few.getpalette(), np.uint8).reshape(-1, 3)[:16]
    palette[: len(colours), :3] = colours[:, ::-1]
    start = 14 + 40 + palette.size
    header = np.array([40, few.width, few.height], "<u4").tobytes() + np.array([1, 4], "<u2").tobytes() + bytes(24)
    data = (indices[:, ::2] << 4 | indices[:, 1::2]).astype(np.uint8).tobytes()
    return b"BM" + np.array([start + len(data), 0, start], "<u4").tobytes() + header + palette.tobytes() + data


def top_down(data):
    """The same BMP, upside down: its height negated."""
    height = int.from_bytes(data[22:26], "little")
    return data[:22] + (2**32 - height).to_bytes(4, "little") + data[26:]


def exif_of(orientation, order="little"):
    """EXIF data with one entry beside the orientation, in either order of bytes."""
    number = partial(int.to_bytes, byteorder=order)
    entries = [(0x0100, 4, 1, number(21, 4)), (0x0112, 3, 1, number(orientation, 2) + bytes(2))]
    header = (b"II" if order == "little" else b"MM") + number(42, 2) + number(8, 4) + number(len(entries), 2)
    entries = (number(tag, 2) + number(kind, 2) + number(count, 4) + value for tag, kind, count, value in entries)
    return b"Exif\0\0" + header + b"".join(entries) + bytes(4)


TURNED = {
    f"{orientation}_{order}.{kind}": file_of(COLOUR, kind, exif=exif_of(orientation, order), **options)
    for orientation in (*range(10), 65535)
    for order in ("little", "big")
    for kind, options in {"JPEG": {"subsampling": 0}, "PNG": {}, "WebP": {"lossless": True}}.items()
}
TURNED["no_orientation.JPEG"] = file_of(COLOUR, "JPEG", exif=b"Exif\0\0II*\0" + bytes([255] * 4))
TURNED["nothing.JPEG"] = file_of(COLOUR, "JPEG", exif=b"Exif\0\0")
FILES = {
    "palette.bmp": file_of(COLOUR.quantize(200), "BMP"),
    "few_colours.bmp": bmp_of_4_bits(COLOUR),
    "grey.bmp": file_of(GREY, "BMP"),
    "two_colours.bmp": file_of(GREY.convert("1"), "BMP"),
    "top_down.bmp": top_down(file_of(COLOUR.quantize(200), "BMP")),
    "colour.bmp": file_of(COLOUR, "BMP"),
    "palette.png": file_of(COLOUR.quantize(200), "PNG"),
    "two_colours.png": file_of(GREY.convert("1"), "PNG"),
    "colour.jpg": file_of(COLOUR, "JPEG"),
    "all_colours.jpg": file_of(COLOUR, "JPEG", subsampling=0),
    "grey.jpg": file_of(GREY, "JPEG"),
    "palette.gif": file_of(COLOUR.quantize(200), "GIF"),
    **TURNED,
}
BROKEN = {
    "empty": b"",
    "no image": b"no image",
    "cut.png": file_of(COLOUR, "PNG")[:200],
    "cut.bmp": file_of(COLOUR.quantize(200), "BMP")[:1100],
    "header.bmp": file_of(COLOUR.quantize(200), "BMP")[:20],
    "compressed.bmp": FILES["palette.bmp"][:30] + b"\1" + FILES["palette.bmp"][31:],
}


@pytest.mark.parametrize("channels", [1, 3])
def test_files_are_read_as_pillow_reads_them(tmp_path, channels):
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    expected = images_in_files.decode_files(np.array([str(tmp_path / name) for name in FILES]), channels, 16).inputs
    images, is_read = encoded_images.decode_files(tf.constant(list(FILES.values())), (16, 16), channels, 8)
    assert is_read.numpy().all()
    for name, ours, theirs in zip(FILES, images, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5, err_msg=name)


def test_a_file_that_cannot_be_read_leaves_the_others_their_scores(build_model, tmp_path):
    export_saved_model(build_model(compiled=False), Decision(0.0, "", 1.0, 1.0, ""), tmp_path / "saved_model")
    detector = tf.saved_model.load(str(tmp_path / "saved_model"))
    good = list(FILES.values())
    alone = detector.serve_bytes(good)
    found = detector.serve_bytes([BROKEN["cut.png"], *good[:4], *BROKEN.values(), *good[4:]])
    places = np.array([1, 2, 3, 4, *range(5 + len(BROKEN), 5 + len(BROKEN) + len(good) - 4)])
    broken = np.setdiff1d(np.arange(len(found["score"])), places)
    for name, values in found.items():
        np.testing.assert_allclose(values.numpy()[places], alone[name], rtol=1e-5, atol=1e-5)
    assert np.isnan(found["score"].numpy()[broken]).all()
    assert np.isnan(found["error_map"].numpy()[broken]).all()
    assert not found["is_anomaly"].numpy()[broken].any()
    assert found["is_anomaly"].numpy()[places].all()
    assert np.isnan(detector.serve_bytes(list(BROKEN.values()))["probability"]).all()
