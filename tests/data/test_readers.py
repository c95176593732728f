import gzip
import io
import struct
import tarfile

import numpy as np
import pytest
from PIL import Image

from agad_tf.config import RunError
from agad_tf.data.readers import read_idx, read_idx_folder, read_npz, read_pictures

IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)


def idx_bytes(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def picture_bytes(array, kind="PNG"):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind)
    return buffer.getvalue()


def write_pictures(folder, pictures):
    for name, data in pictures.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


PICTURES = {
    "train/cat/b.png": picture_bytes(np.full((4, 4, 3), 10, np.uint8)),
    "train/dog/a.png": picture_bytes(np.full((4, 4, 3), 20, np.uint8)),
    "test/dog/c.png": picture_bytes(np.full((4, 4, 3), 30, np.uint8)),
    "test/dog/notes.txt": b"no picture",
}


@pytest.mark.parametrize("zipped", [False, True])
def test_idx_is_read_as_written(tmp_path, zipped):
    path = tmp_path / ("images.gz" if zipped else "images")
    path.write_bytes(gzip.compress(idx_bytes(IMAGES)) if zipped else idx_bytes(IMAGES))
    np.testing.assert_array_equal(read_idx(path), IMAGES)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "not an IDX file"),
        (b"PK\x03\x04rubbish", "not an IDX file"),
        (idx_bytes(IMAGES)[:10], "not an IDX file"),
        (idx_bytes(IMAGES)[:-1], "holds 23 bytes where its header says 24"),
        (idx_bytes(IMAGES) + b"x", "holds 25 bytes"),
        (struct.pack(">BBBB4I", 0, 0, 8, 4, *[2**31] * 4), "header says"),
    ],
)
def test_damaged_idx_is_refused_with_its_name(tmp_path, data, complaint):
    path = tmp_path / "images"
    path.write_bytes(data)
    with pytest.raises(RunError, match=complaint) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def test_truncated_gzip_is_refused(tmp_path):
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(idx_bytes(IMAGES))[:-9])
    with pytest.raises(RunError, match="cannot be read"):
        read_idx(path)


def test_idx_folder_needs_all_four_files(tmp_path):
    names = ("train-images", "train-labels", "t10k-images")
    for name in names:
        (tmp_path / f"{name}-idx{3 if 'images' in name else 1}-ubyte").write_bytes(idx_bytes(IMAGES))
    assert read_idx_folder(tmp_path) is None
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_bytes(IMAGES[0, 0])))
    assert set(read_idx_folder(tmp_path)) == {"x_train", "y_train", "x_test", "y_test"}


def test_npz_is_read_without_unpickling(tmp_path):
    np.savez(tmp_path / "plain.npz", x_train=IMAGES)
    np.testing.assert_array_equal(read_npz(tmp_path / "plain.npz")["x_train"], IMAGES)
    np.savez(tmp_path / "objects.npz", x_train=np.array([{"code": 1}], dtype=object))
    with pytest.raises(RunError, match="plain arrays"):
        read_npz(tmp_path / "objects.npz")


def test_damaged_npz_is_refused(tmp_path):
    path = tmp_path / "data.npz"
    for data in (b"", b"rubbish", b"PK\x03\x04"):
        path.write_bytes(data)
        with pytest.raises(RunError, match=r"data\.npz"):
            read_npz(path)


@pytest.mark.parametrize("packed", [False, True])
def test_pictures_are_read_from_a_folder_and_a_tar_alike(tmp_path, packed):
    folder = tmp_path / "set"
    write_pictures(folder, PICTURES)
    if packed:
        with tarfile.open(tmp_path / "set.tar.gz", "w:gz") as archive:
            archive.add(folder, "set")
    arrays, names = read_pictures(tmp_path / "set.tar.gz" if packed else folder)
    assert names == ["cat", "dog"]
    assert arrays["x_train"].shape == (2, 4, 4, 3)
    by_label = dict(zip(arrays["y_train"].tolist(), arrays["x_train"][:, 0, 0, 0].tolist(), strict=True))
    assert by_label == {0: 10, 1: 20}
    assert arrays["y_test"].tolist() == [1]


def test_grey_pictures_have_one_channel(tmp_path):
    grey = picture_bytes(np.full((4, 4), 7, np.uint8))
    write_pictures(tmp_path, {"train/a/1.png": grey, "test/a/1.png": grey})
    assert read_pictures(tmp_path)[0]["x_train"].shape == (1, 4, 4, 1)


def test_a_folder_without_pictures_gives_nothing(tmp_path):
    (tmp_path / "train" / "a").mkdir(parents=True)
    assert read_pictures(tmp_path) is None


def test_a_damaged_picture_is_named(tmp_path):
    write_pictures(tmp_path, {**PICTURES, "train/cat/broken.png": PICTURES["train/cat/b.png"][:40]})
    with pytest.raises(RunError, match=r"train/cat/broken\.png cannot be read"):
        read_pictures(tmp_path)


def test_pictures_of_different_sizes_are_refused(tmp_path):
    write_pictures(tmp_path, {**PICTURES, "train/cat/large.png": picture_bytes(np.zeros((8, 8, 3), np.uint8))})
    with pytest.raises(RunError, match="differ in size"):
        read_pictures(tmp_path)


def test_a_file_that_is_no_tar_is_refused(tmp_path):
    (tmp_path / "set.tar").write_bytes(b"rubbish")
    with pytest.raises(RunError, match=r"set\.tar cannot be read as a tar"):
        read_pictures(tmp_path / "set.tar")
