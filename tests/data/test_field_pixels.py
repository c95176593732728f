"""Depth of pixels as users have them: faults of whole kinds that users have met."""

import io

import numpy as np
import pytest
from PIL import Image

from agad_tf.config.errors import RunError
from agad_tf.data.pixel_range import FULL_RANGE, PixelRange, read_pixel_range, write_pixel_range
from agad_tf.data.readers import decode_picture
from tests.data.files import task_of

RNG = np.random.default_rng(0)


def png_of_16_bit_colours(pixels):
    import tensorflow as tf  # noqa: PLC0415 - Pillow writes none

    return tf.io.encode_png(pixels).numpy()


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    if values.ndim == 3:
        path.write_bytes(png_of_16_bit_colours(values))
    else:
        Image.fromarray(values).save(path)


def deep_set(root, white, dtype, ending="png", shape=(16, 16), low=0.0):
    """Normal images that reach `white`, and others half as bright."""
    made = {}
    for name, share, count in (("normal", 1.0, 20), ("abnormal", 0.5, 8)):
        for number in range(count):
            values = low + RNG.random(shape) * (white * share - low)
            values.flat[0] = white * share
            path = root / name / f"{number:02d}.{ending}"
            made[str(path)] = values.astype(dtype)
            save(path, made[str(path)])
    return made


def pixels_of(images):
    return dict(zip(images.paths.tolist(), np.asarray(images), strict=True))


# === Depth of pixels in files ===


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize(("ending", "shape"), [("png", (16, 16)), ("tiff", (16, 16)), ("png", (16, 16, 3))])
def test_depth_of_a_set_in_16_bit_files_is_found_and_said(tmp_path, capsys, bits, ending, shape):
    made = deep_set(tmp_path, 2**bits - 1, np.uint16, ending, shape)
    source, _ = task_of(tmp_path)
    said = capsys.readouterr().err
    assert (f"read as {bits}-bit values: {2**bits - 1} is white" in said) == (bits < 16)
    assert source.pixel_range.bits == bits
    assert source.channels == (3 if len(shape) == 3 else 1)
    for part in (source.x_train, source.x_test):
        for path, pixels in pixels_of(part).items():
            expected = (made[path] >> (bits - 8)).astype(np.uint8)
            np.testing.assert_array_equal(pixels, expected if len(shape) == 3 else expected[..., None])


def test_depth_is_one_for_all_of_a_set(tmp_path):
    deep_set(tmp_path, 4095, np.uint16)
    for path in (tmp_path / "normal").iterdir():
        save(path, RNG.integers(0, 1024, (16, 16)).astype(np.uint16))
    source, task = task_of(tmp_path)
    assert source.pixel_range.bits == 12  # abnormal images reach 2047
    assert all(part.images.pixel_range == source.pixel_range for part in (task.train, task.validation, task.test))


def test_depth_of_8_bit_files_stays_as_it_is(tmp_path, capsys):
    made = deep_set(tmp_path, 100, np.uint8)
    source, _ = task_of(tmp_path)
    assert source.pixel_range == FULL_RANGE
    assert "bit" not in capsys.readouterr().err
    for path, pixels in pixels_of(source.x_train).items():
        np.testing.assert_array_equal(pixels[..., 0], made[path])


@pytest.mark.parametrize(
    ("low", "white", "expected"),
    [(0, 1, (0, 1)), (0, 255, (0, 255)), (-1, 1, (-1, 1)), (0, 1.0001, (0, 1)), (0, 0.5, (0, 1)), (-900, 3000, None)],
)
def test_depth_of_floats_is_read_by_one_range(tmp_path, capsys, low, white, expected):
    made = deep_set(tmp_path, white, np.float32, "tif", low=low)
    source, _ = task_of(tmp_path)
    assert source.left_out == {}
    assert "Floating-point values are read with" in capsys.readouterr().err
    black, bright = source.pixel_range[1:]
    if expected:
        assert (black, bright) == expected
    for path, pixels in pixels_of(source.x_train).items():
        found = (made[path].astype(float) - black) / (bright - black) * 255
        np.testing.assert_allclose(pixels[..., 0], found.clip(0, 255), atol=0.51)


def test_depth_of_floats_that_are_not_finite_leaves_their_image_out(tmp_path):
    deep_set(tmp_path, 1, np.float32, "tif")
    save(tmp_path / "normal" / "bad.tif", np.full((16, 16), np.inf, np.float32))
    source, _ = task_of(tmp_path)
    assert [path.rsplit("/", 1)[1] for path in source.left_out] == ["bad.tif"]


def test_depth_is_kept_in_the_run(tmp_path):
    deep_set(tmp_path / "set", 4095, np.uint16)
    run = tmp_path / "run"
    run.mkdir()
    source, _ = task_of(tmp_path / "set", run=run)
    with (run / "pixel_range.json").open("w") as file:
        write_pixel_range(file, source.pixel_range)
    (run / "left_out.csv").write_text("path,complaint\n")
    for path in (tmp_path / "set" / "normal").iterdir():
        save(path, np.full((16, 16), 60000, np.uint16))
    again, task = task_of(tmp_path / "set", run=run)
    assert again.pixel_range == task.train.images.pixel_range == PixelRange(12)


def test_depth_beyond_that_of_the_run_is_said_once(capsys):
    bright = png_of_16_bit_colours(np.full((4, 4, 1), 60000, np.uint16))
    for _ in range(2):
        assert (decode_picture("bright.png", bright, 1, PixelRange(12)) == 255).all()
    assert capsys.readouterr().err.count("values above 4095, but the training images had 12 bits") == 1
    decode_picture("bright.png", bright, 1, FULL_RANGE)
    assert capsys.readouterr().err == ""


def test_depth_and_division_of_a_run_of_an_earlier_version_stay(tmp_path):
    made = deep_set(tmp_path / "set", 4095, np.uint16)
    (tmp_path / "set" / "normal").rename(tmp_path / "set" / "intact")
    run = tmp_path / "run"
    run.mkdir()
    (run / "left_out.csv").write_text("path,complaint\n")
    source, task = task_of(tmp_path / "set", "intact", run=run)
    assert source.pixel_range == FULL_RANGE
    assert int(sum(task.test.labels == 0)) == 10  # half, as the first class by the alphabet is abnormal
    path, pixels = next(iter(pixels_of(task.train.images).items()))
    np.testing.assert_array_equal(pixels[..., 0], made[path.replace("intact", "normal")] >> 8)


@pytest.mark.parametrize("text", ["", "[]", '{"bits": 3}', '{"depth": 12}', '{"bits": 12, "low": 2, "high": 1}'])
def test_depth_that_is_damaged_is_refused(tmp_path, text):
    (tmp_path / "pixel_range.json").write_text(text)
    with pytest.raises(RunError, match=r"pixel_range\.json (cannot be read|is damaged)"):
        read_pixel_range(tmp_path / "pixel_range.json")


def test_depth_of_a_rotated_image_leaves_it_upright():
    values = RNG.integers(0, 4096, (6, 9)).astype(np.uint16)
    exif = Image.Exif()
    exif[0x0112] = 6
    data = io.BytesIO()
    Image.fromarray(values).save(data, "TIFF", exif=exif)
    found = decode_picture("a", data.getvalue(), 1, PixelRange(12))
    np.testing.assert_array_equal(found[..., 0], np.rot90(values >> 4, -1))


@pytest.mark.parametrize("bits", [17, 20, 31])
def test_depth_of_a_set_in_32_bit_files_is_found_and_said(tmp_path, capsys, bits):
    deep_set(tmp_path, 2**bits - 1, np.int32, "tiff")
    source, _ = task_of(tmp_path)
    assert f"read as {bits}-bit values: {2**bits - 1} is white" in capsys.readouterr().err
    assert np.asarray(source.x_train).max() == 255
