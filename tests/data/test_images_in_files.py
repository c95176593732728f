import io

import numpy as np
import pytest
from PIL import Image

from agad_tf.config.errors import RunError
from agad_tf.data.images_in_files import Pictures, channels_of, decode_files, joined, pictures_below
from agad_tf.data.preprocessing import to_network_input
from agad_tf.data.readers import decode_picture, depth_of
from agad_tf.data.scoring_batches import scoring_batches
from agad_tf.data.splits import Split
from agad_tf.data.training_batches import plan_batches, training_batches
from agad_tf.data.training_inputs import training_inputs

RNG = np.random.default_rng(0)
SIZES = [(16, 16), (20, 31), (16, 16), (7, 64), (200, 300)]


@pytest.fixture
def pictures(tmp_path):
    """Five images of several sizes, as files and as arrays."""
    arrays = [RNG.integers(0, 256, (*size, 3), np.uint8) for size in SIZES]
    paths = [tmp_path / f"{number}.png" for number in range(len(arrays))]
    for path, array in zip(paths, arrays, strict=True):
        Image.fromarray(array).save(path)
    return Pictures(list(map(str, paths)), 3, 16), arrays


def encoded(image, form, **options):
    data = io.BytesIO()
    image.save(data, form, **options)
    return data.getvalue()


GREY = Image.fromarray(RNG.integers(0, 256, (6, 9), np.uint8))
COLOUR = GREY.convert("RGB").point(lambda value: value // 2)
FORMS = {
    "grey": (encoded(GREY, "PNG"), np.asarray(GREY)[..., None]),
    "RGB": (encoded(COLOUR, "PNG"), np.asarray(COLOUR)),
    "BMP": (encoded(COLOUR, "BMP"), np.asarray(COLOUR)),
    "TIFF": (encoded(COLOUR, "TIFF"), np.asarray(COLOUR)),
    "WebP": (encoded(COLOUR, "WEBP", lossless=True), np.asarray(COLOUR)),
    "GIF": (encoded(GREY, "GIF"), np.asarray(GREY.convert("RGB"))),
    "several frames": (encoded(COLOUR, "TIFF", save_all=True, append_images=[COLOUR.rotate(90)]), np.asarray(COLOUR)),
    "alpha": (encoded(COLOUR.convert("RGBA"), "PNG"), np.asarray(COLOUR)),
    "grey with alpha": (encoded(GREY.convert("LA"), "PNG"), np.asarray(GREY)[..., None]),
    "CMYK": (encoded(COLOUR.convert("CMYK"), "TIFF"), np.asarray(COLOUR)),
    "16 bits": (
        encoded(Image.fromarray(np.asarray(GREY).astype(np.uint16) * 257), "PNG"),
        np.asarray(GREY)[..., None],
    ),
    "16 bits, TIFF": (
        encoded(Image.fromarray(np.asarray(GREY).astype(np.uint16) * 256 + 255), "TIFF"),
        np.asarray(GREY)[..., None],
    ),
    "black and white": (encoded(GREY.convert("1"), "PNG"), np.asarray(GREY.convert("1").convert("L"))[..., None]),
}


@pytest.mark.parametrize("form", FORMS)
def test_pictures_of_every_form_are_read_as_they_look(form):
    data, expected = FORMS[form]
    np.testing.assert_array_equal(decode_picture("a", data), expected)


def test_a_jpeg_is_read_about_as_it_looks():
    smooth = Image.fromarray(np.add.outer(np.arange(32), np.arange(48)).astype(np.uint8) * 3)
    found = decode_picture("a", encoded(smooth.convert("RGB"), "JPEG", quality=95))
    assert np.abs(found - np.asarray(smooth.convert("RGB")).astype(int)).max() < 8


def test_a_picture_is_turned_as_its_exif_data_says():
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = decode_picture("a", encoded(COLOUR, "PNG", exif=exif))
    np.testing.assert_array_equal(turned, np.asarray(COLOUR.rotate(-90, expand=True)))


def test_channels_asked_for_are_given():
    assert decode_picture("a", FORMS["grey"][0], 3).shape == (6, 9, 3)
    assert decode_picture("a", FORMS["RGB"][0], 1).shape == (6, 9, 1)
    np.testing.assert_array_equal(decode_picture("a", FORMS["16 bits"][0], 3)[..., 1], np.asarray(GREY))


def test_floating_point_pixels_are_refused():
    data = encoded(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF")
    with pytest.raises(RunError, match="floating-point"):
        decode_picture("a", data)


def test_files_give_what_arrays_give_to_the_bit(pictures):
    files, arrays = pictures
    expected = np.concatenate([to_network_input(array[np.newaxis], 16) for array in arrays])
    np.testing.assert_array_equal(files.network_inputs(np.arange(5)), expected)
    for batch_size in (1, 2, 5):
        batches = [batch.numpy() for batch in scoring_batches(files, 16, batch_size)]
        assert [len(batch) for batch in batches] == [batch_size] * (5 // batch_size) + [5 % batch_size] * (
            5 % batch_size > 0
        )
        np.testing.assert_array_equal(np.concatenate(batches), expected)
    np.testing.assert_array_equal(np.asarray(files), np.round((expected + 1) * 127.5))


def test_rows_are_taken_as_from_an_array(pictures):
    files, _ = pictures
    everything = np.asarray(files)
    for rows in (np.array([3, 0]), slice(1, 4), np.array([True, False, False, True, False]), np.array([], int)):
        np.testing.assert_array_equal(np.asarray(files[rows]), everything[rows])
    np.testing.assert_array_equal(np.asarray(joined([files[:1], files[3:]])), everything[[0, 3, 4]])
    assert files.shape == everything.shape


@pytest.mark.parametrize("as_files", [False, True])
def test_what_does_not_fit_into_the_cache_is_read_anew_and_trains_alike(pictures, as_files):
    files, _ = pictures
    images = files if as_files else np.asarray(files)
    split = Split(images, np.array([0, 0, 0, 1, 1], np.int32), np.arange(5))
    plan = plan_batches(split, 3, 1)
    cached, streamed = (
        list(training_batches(training_inputs(split, 16, size), plan, 3, 0).as_numpy_iterator()) for size in (1e9, 0)
    )
    assert len(cached) == 3 * plan.steps_per_epoch
    for one, other in zip(cached, streamed, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def test_unreadable_files_are_told_apart_from_their_neighbours(pictures, tmp_path):
    files, _ = pictures
    (tmp_path / "broken.png").write_bytes(b"rubbish")
    paths = np.array([files.paths[0], str(tmp_path / "broken.png"), str(tmp_path / "none.png"), files.paths[1]])
    decoded = decode_files(paths, 3, 16)
    assert [bool(complaint) for complaint in decoded.complaints] == [False, True, True, False]
    assert "broken.png" in decoded.complaints[1]
    np.testing.assert_array_equal(decoded.inputs[[0, 3]], files.network_inputs(np.array([0, 1])))
    with pytest.raises(RunError, match=r"broken\.png"):
        Pictures(paths, 3, 16).network_inputs(np.array([0, 1]))


def test_pictures_are_grey_only_if_all_that_are_looked_at_are(pictures, tmp_path):
    colour = pictures[0].paths[0]
    GREY.save(tmp_path / "grey.png")
    (tmp_path / "broken.png").write_bytes(b"rubbish")
    grey, broken = str(tmp_path / "grey.png"), str(tmp_path / "broken.png")
    assert channels_of([grey, broken]) == 1
    assert channels_of([grey, colour]) == 3


def test_hidden_files_are_no_pictures_and_links_are_followed(tmp_path):
    (tmp_path / "set" / "a").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    for name in ("set/a/1.png", "set/a/._1.png", "set/a/notes.txt", "elsewhere/2.JPG"):
        (tmp_path / name).touch()
    (tmp_path / "set" / "b").symlink_to(tmp_path / "elsewhere")
    found = [path.relative_to(tmp_path / "set").as_posix() for path in pictures_below(tmp_path / "set")]
    assert found == ["a/1.png", "b/2.JPG"]


# Height and width of a JPEG, and of what is decoded of it to be resized to 16×16.
REDUCED = {(32, 32): (32, 32), (47, 90): (47, 90), (48, 95): (24, 48), (97, 200): (25, 50), (200, 210): (25, 27)}


def photo(height, width):
    """Smooth, as photos are."""
    return Image.fromarray(RNG.integers(0, 256, (4, 4, 3), np.uint8)).resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("size", REDUCED)
def test_a_jpeg_is_decoded_at_a_reduced_size_where_it_is_three_times_as_large_as_it_is_to_be(size, tmp_path):
    data = encoded(photo(*size), "JPEG", quality=95)
    reduced = decode_picture("a photo", data, 3, to_be=16)
    assert reduced.shape[:2] == REDUCED[size]
    full = decode_picture("a photo", data, 3)
    if REDUCED[size] == size:
        np.testing.assert_array_equal(reduced, full)
    close = [to_network_input(pixels[np.newaxis], 16) for pixels in (reduced, full)]
    # In shades of 255; sides of an image as small as this are rounded noticeably.
    assert 127.5 * np.abs(close[0] - close[1]).mean() < 5
    (tmp_path / "a.jpg").write_bytes(data)
    np.testing.assert_array_equal(Pictures([str(tmp_path / "a.jpg")], 3, 16).network_inputs(np.array([0])), close[0])


def test_other_formats_are_decoded_whole_and_a_reduced_jpeg_is_turned_as_well():
    image = photo(100, 150)
    assert decode_picture("a photo", encoded(image, "PNG"), 3, to_be=16).shape == (100, 150, 3)
    turned = Image.Exif()
    turned[0x0112] = 6
    assert decode_picture("a photo", encoded(image, "JPEG", exif=turned), 3, to_be=(16, 32)).shape == (75, 50, 3)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_is_cut_short_is_noticed_wherever_it_is_cut(progressive):
    data = encoded(photo(300, 400), "JPEG", progressive=progressive)
    for share in (0.3, 0.6, 0.9, 0.99):
        with pytest.raises(RunError, match="cannot be read as an image"):
            depth_of("a photo", data[: int(share * len(data))])
    assert depth_of("a photo", data) is None
