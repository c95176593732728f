"""Readers are given whatever Hypothesis thinks of: they read it, or refuse it in one sentence."""

import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from PIL import Image

from agad_tf.config.errors import RunError, UsageError
from agad_tf.data.array_files import read_own_npz
from agad_tf.data.readers import decode_picture, read_idx, read_npz
from agad_tf.data.user_sets import read_own_pictures

# Enough to find what was broken on purpose; tests/fuzz/ goes on for hours.
FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def encoded(form, mode):
    written = io.BytesIO()
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).convert(mode).save(written, form)
    return written.getvalue()


WHOLE = [encoded(form, "L") for form in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")] + [encoded("PNG", "P")]


@st.composite
def damaged(draw, whole):
    """Something whole, with bytes changed, cut off, put in or moved."""
    data = bytearray(draw(st.sampled_from(whole)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data)))
        kind = draw(st.sampled_from(["change", "cut", "insert", "remove"]))
        if kind == "change" and place < len(data):
            data[place] = draw(st.integers(0, 255))
        elif kind == "cut":
            del data[place:]
        elif kind == "insert":
            data[place:place] = draw(st.binary(max_size=64))
        else:
            del data[place : place + draw(st.integers(0, 64))]
    return bytes(data)


def refused_in_one_sentence(error):
    text = str(error.value if hasattr(error, "value") else error)
    assert text.endswith((".", ")")), text
    assert "\n" not in text.strip()
    assert "Traceback" not in text


@given(st.one_of(damaged(WHOLE), st.binary(max_size=200)), st.sampled_from([None, 1, 3]))
@FEW
def test_any_bytes_are_a_picture_or_refused(data, channels):
    try:
        pixels = decode_picture("some.png", data, channels)
    except RunError as error:
        refused_in_one_sentence(error)
        assert str(error).startswith("some.png ")
    else:
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
        assert pixels.shape[-1] in ((1, 3) if channels is None else (channels,))


@given(st.one_of(st.binary(max_size=200), damaged([bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3]) + b"pixels"])))
@FEW
def test_any_bytes_are_an_idx_file_or_refused(tmp_path, data):
    path = tmp_path / "images"
    path.write_bytes(data)
    try:
        assert read_idx(path).dtype == np.uint8
    except RunError as error:
        refused_in_one_sentence(error)


ARRAYS = st_numpy.arrays(
    st.one_of(
        st_numpy.boolean_dtypes(),
        st_numpy.integer_dtypes(),
        st_numpy.floating_dtypes(),
        st_numpy.unicode_string_dtypes(),
        st_numpy.datetime64_dtypes(),
        st.just(np.dtype(np.uint8)),
    ),
    st_numpy.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4),
)


@given(st.tuples(ARRAYS, ARRAYS, ARRAYS, ARRAYS))
@FEW
def test_any_arrays_are_a_set_or_refused(tmp_path, arrays):
    path = tmp_path / "set.npz"
    np.savez(path, **dict(zip(("x_train", "y_train", "x_test", "y_test"), arrays, strict=True)))
    try:
        fields = read_own_npz(path)
    except (RunError, UsageError) as error:
        refused_in_one_sentence(error)
        assert "set.npz" in str(error)
    else:
        assert fields["x_train"].dtype == np.uint8
        assert fields["x_train"].ndim == 4
        assert len(fields["x_train"]) == len(fields["y_train"])
        assert fields["y_train"].min(initial=0) >= 0


def npz_bytes():
    written = io.BytesIO()
    np.savez(written, x_train=np.zeros((2, 3, 3), np.uint8))
    return written.getvalue()


@given(damaged([npz_bytes()]))
@FEW
def test_any_archive_is_read_or_refused(tmp_path, data):
    path = tmp_path / "set.npz"
    path.write_bytes(data)
    try:
        assert all(isinstance(array, np.ndarray) for array in read_npz(path).values())
    except RunError as error:
        refused_in_one_sentence(error)


@given(damaged([b"path,label,split,mask\na.png,normal,train,\na.png,bad,test,a.png\n"]))
@FEW
def test_any_list_of_pictures_is_read_or_refused(tmp_path, data):
    (tmp_path / "a.png").write_bytes(WHOLE[0])
    (tmp_path / "list.csv").write_bytes(data)
    try:
        fields = read_own_pictures(tmp_path / "list.csv", 16)
    except (RunError, UsageError) as error:
        refused_in_one_sentence(error)
    else:
        assert len(fields["x_train"]) == len(fields["y_train"])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_arrays_that_hold_no_numbers_are_refused_by_name(tmp_path, bad):
    images = np.zeros((4, 8, 8), np.float32)
    images[2, 3, 3] = bad
    np.savez(tmp_path / "set.npz", x_train=images, y_train=np.zeros(4, int), x_test=images, y_test=np.ones(4, int))
    with pytest.raises(RunError, match=r"set\.npz: x_train is float32 with values that are not finite"):
        read_own_npz(tmp_path / "set.npz")
