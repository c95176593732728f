import gzip
import io
import os
import struct
import tarfile
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest
from PIL import Image

from agad_tf.config.errors import RunError
from agad_tf.data.readers import decode_picture, limit_pixels, read_idx, read_idx_folder, read_npz, read_pictures

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
    "test/dog/notes.txt": b"no image",
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
        (idx_bytes(IMAGES)[:-1], "has 23 bytes, but its header says 24"),
        (idx_bytes(IMAGES) + b"x", "has more than 24 bytes, but its header says 24"),
        (struct.pack(">BBBB4I", 0, 0, 8, 4, *[2**31] * 4), "header says"),
        (struct.pack(">BBBB4I", 0, 0, 8, 4, 0, *[2**32 - 1] * 3), "an impossible shape"),
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


def test_a_gzip_that_unpacks_without_end_is_read_no_further_than_announced(tmp_path):
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(idx_bytes(IMAGES) + bytes(2**28), 1))
    tracemalloc.start()
    with pytest.raises(RunError, match="has more than 24 bytes"):
        read_idx(path)
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


def test_an_npz_that_unpacks_to_more_than_the_memory_is_refused_unread(tmp_path, monkeypatch):
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, x_train=np.zeros(2**22, np.uint8))
    monkeypatch.setattr(os, "sysconf", lambda name: 2**10)
    with pytest.raises(RunError, match=r"bomb\.npz unpacks to 0 GiB, and this machine has 0 GiB of memory"):
        read_npz(path)


def test_an_npz_of_a_zip_version_to_come_is_refused(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, x_train=IMAGES)
    content = bytearray(path.read_bytes())
    central = content.index(b"PK\x01\x02")
    content[central + 6] = 173
    path.write_bytes(content)
    with pytest.raises(RunError, match="NotImplementedError"):
        read_npz(path)


def test_an_npz_with_what_is_no_array_is_refused(tmp_path):
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x_train.npy", b"")
    with pytest.raises(RunError, match="x_train, which is not an array"):
        read_npz(path)


def test_an_array_that_claims_to_be_larger_than_any_memory_is_refused(tmp_path):
    path = tmp_path / "data.npz"
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (9999999999999, 99), }".ljust(117) + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x_train.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(9))
    with pytest.raises(RunError, match="cannot be read as an"):
        read_npz(path)


def test_a_member_of_a_tar_that_is_no_picture_for_its_size_is_refused_unread(tmp_path):
    member = tarfile.TarInfo("train/a/1.png")
    member.size = 2**40
    (tmp_path / "set.tar").write_bytes(member.tobuf() + bytes(1024))
    with pytest.raises(RunError, match=r"train/a/1\.png has 1024\.0 GiB"):
        read_pictures(tmp_path / "set.tar")


@pytest.mark.parametrize("name", ["../../train/a/1.png", "/train/a/1.png", "train/../train/a/1.png"])
def test_nothing_in_a_tar_is_written_anywhere(tmp_path, name):
    """Members are read where they lie, whatever they call themselves; links are not followed."""
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    data = PICTURES["train/cat/b.png"]
    with tarfile.open(inside / "set.tar", "w") as archive:
        for path in (name, "test/a/1.png"):
            member = tarfile.TarInfo(path)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        link = tarfile.TarInfo("train/a/link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    before = sorted(tmp_path.rglob("*"))
    arrays, _ = read_pictures(inside / "set.tar")
    assert len(arrays["x_train"]) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_picture_of_more_pixels_than_allowed_is_refused_by_its_header(tmp_path):
    # 4 kB that would be 100 million pixels.
    bomb = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(bomb, "PNG")
    limit_pixels(99.0)
    try:
        tracemalloc.start()
        with pytest.raises(RunError, match=r"bomb has more pixels than --max_megapixels=99 allows"):
            decode_picture("bomb", bomb.getvalue())
        assert tracemalloc.get_traced_memory()[1] < 2**20
        tracemalloc.stop()
        limit_pixels(101.0)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            limit_pixels(101.0)
            assert decode_picture("bomb", bomb.getvalue()).shape == (10_000, 10_000, 1)
    finally:
        limit_pixels(179.0)
