"""A folder of images with all that can be wrong with some of them."""

import io
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from agad_tf.config.errors import RunError
from agad_tf.data.inspection import leave_out_unreadable, write_left_out
from agad_tf.data.readers import limit_pixels
from agad_tf.data.sources import load_source


def picture(seed=0, size=(6, 8), form="PNG", mode="RGB", **options):
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    written = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(written, form, **options)
    return written.getvalue()


def encoded_floats(pixels):
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "TIFF")
    return written.getvalue()


GOOD = {
    "tiny.png": picture(1, (1, 1)),
    "wide.png": picture(2, (3, 10_000)),
    "tall.png": picture(3, (10_000, 3)),
    "palette.png": picture(4, mode="P"),
    "palette.gif": picture(5, form="GIF", mode="P"),
    "cmyk.jpg": picture(6, form="JPEG", mode="CMYK"),
    "one bit.bmp": picture(7, form="BMP", mode="1"),
    "is a jpeg.png": picture(8, form="JPEG"),
    "animated.gif": picture(
        9, form="GIF", mode="P", save_all=True, append_images=[Image.new("P", (8, 6), n) for n in (1, 2)]
    ),
    "new\nline.png": picture(10),
    "n" * 251 + ".png": picture(11),
    "[a-z]*?.png": picture(12),
    "<script>alert(1)</script>.png".replace("/", "\u2215"): picture(13),
    os.fsdecode(b"latin-\xe9.png"): picture(14),
}
BAD = {
    "truncated.png": picture(20)[:60],
    "truncated.jpg": picture(21, (64, 64), form="JPEG")[:-900],
    "empty.png": b"",
    "text.jpg": b"this is no image\n" * 9,
    "bits flipped.png": picture(22)[:50] + b"\x00" * 9 + picture(22)[59:],
    "only the magic.webp": b"RIFF\x00\x00\x00\x00WEBP",
    "not finite.tif": encoded_floats(np.full((4, 6), np.nan, np.float32)),
}


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "set"
    write(root / "train" / "good", GOOD)
    write(root / "test" / "good", {f"{n}.png": picture(100 + n) for n in range(4)})
    write(root / "test" / "scratch", {f"{n}.png": picture(200 + n) for n in range(4)})
    return root


def load(root):
    return load_source("folder", str(root), 16)


def look(root, known="/nowhere"):
    return leave_out_unreadable(load(root), Path(known))


def test_every_kind_of_picture_is_taken(folder, capsys):
    source = look(folder)
    assert source.left_out == {}
    assert len(source.x_train) == len(GOOD)
    assert np.asarray(source.x_train).shape == (len(GOOD), 16, 16, 3)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", BAD)
def test_a_broken_picture_is_left_out_and_named(folder, capsys, name):
    before = load(folder)
    write(folder / "train" / "good", {name: BAD[name]})
    source = look(folder)
    path = str(folder / "train" / "good" / name)
    assert list(source.left_out) == [path]
    assert path in source.left_out[path]
    assert source.x_train.paths.tolist() == before.x_train.paths.tolist()
    assert len(source.y_train) == len(source.x_train)
    said = capsys.readouterr().err
    assert said.startswith(f"agad_tf: 1 of {len(GOOD) + 9} images is left out; see left_out.csv. {path}")
    assert "Traceback" not in said


def test_a_giant_is_left_out_unread(folder):
    write(folder / "train" / "good", {"giant.png": picture(30, (2_000, 1_000))})
    limit_pixels(1.5)
    try:
        (complaint,) = look(folder).left_out.values()
    finally:
        limit_pixels(179.0)
    assert "--max_megapixels=1.5" in complaint


def test_a_file_of_a_terabyte_is_left_out_unread(folder):
    with (folder / "train" / "good" / "sparse.png").open("wb") as file:
        file.truncate(2**40)
    (complaint,) = look(folder).left_out.values()
    assert "1024.0 GiB" in complaint


def test_a_file_that_may_not_be_read_is_left_out(as_nobody):
    # Not below pytest's folders, which are closed to others.
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for part in ("train/good", "test/good", "test/bad"):
            write(root / part, {f"{n}.png": picture(n) for n in range(3)})
        (root / "train" / "good" / "1.png").chmod(0)
        (complaint,) = look(root).left_out.values()
        assert "1.png cannot be read (Permission denied)" in complaint


def test_a_folder_that_may_not_be_read_ends_the_run(as_nobody):
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for part in ("normal", "abnormal"):
            write(root / part, {f"{n}.png": picture(n) for n in range(9)})
        (root / "abnormal").chmod(0)
        with pytest.raises(PermissionError, match="abnormal"):
            look(root)
        (root / "abnormal").chmod(0o700)


def test_links_that_lead_nowhere_or_in_circles_are_no_pictures(folder):
    good = folder / "train" / "good"
    (good / "nowhere.png").symlink_to(good / "gone.png")
    (good / "itself.png").symlink_to(good / "itself.png")
    (good / "circle").symlink_to(folder / "train", target_is_directory=True)
    source = look(folder)
    assert sorted(path.rsplit("/", 1)[1] for path in source.x_train.paths) == sorted(GOOD)


def test_the_parts_stay_what_they_were_when_a_run_goes_on(folder, tmp_path, capsys):
    write(folder / "train" / "good", BAD)
    first = look(folder)
    with (tmp_path / "left_out.csv").open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        write_left_out(file, first.left_out)
    capsys.readouterr()
    # Mended since: it was not part of the run.
    write(folder / "train" / "good", {"empty.png": picture(40)})
    again = look(folder, tmp_path / "left_out.csv")
    assert again.left_out == first.left_out
    assert again.x_train.paths.tolist() == first.x_train.paths.tolist()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("content", ["", "path\n", "path,complaint\nonly one\n", "a,b\n", 'path,complaint\n"x,y\n'])
def test_a_damaged_list_of_what_was_left_out_is_refused(folder, tmp_path, content):
    (tmp_path / "left_out.csv").write_text(content)
    with pytest.raises(RunError, match=r"left_out\.csv (is damaged|cannot be read).*remove it"):
        look(folder, tmp_path / "left_out.csv")


def test_masks_and_names_follow_the_pictures_that_are_left(folder):
    write(folder / "ground_truth" / "scratch", {f"{n}_mask.png": picture(n, mode="L") for n in range(4)})
    write(folder / "test" / "scratch", {"1.png": b"broken"})
    write(folder / "ground_truth" / "scratch", {"2_mask.png": b"broken"})
    source = look(folder)
    assert len(source.left_out) == 2
    names = [source.test_names[row] for row in sorted(source.test_masks)]
    assert names == ["test/scratch/0.png", "test/scratch/3.png"]
    assert [mask.name for _, (mask,) in sorted(source.test_masks.items())] == ["0_mask.png", "3_mask.png"]
    assert len(source.test_names) == len(source.x_test) == len(source.y_test)


def test_a_class_of_which_nothing_can_be_read_ends_the_run(folder):
    write(folder / "test" / "scratch", {f"{n}.png": b"broken" for n in range(4)})
    with pytest.raises(RunError, match=r"None of the 4 images of class scratch for test can be read: .*0\.png"):
        look(folder)


def test_copies_are_counted_and_one_between_training_and_test_is_named(folder, capsys):
    write(folder / "train" / "good", {"copy.png": GOOD["tiny.png"]})
    assert len(look(folder).x_train) == len(GOOD) + 1
    said = capsys.readouterr().err
    assert "1 image is a copy of others, such as" in said
    assert "testing" not in said
    write(folder / "test" / "good", {"leak.png": GOOD["tiny.png"]})
    look(folder)
    said = capsys.readouterr().err
    assert "2 images are copies" in said
    assert "Copies in both training and test: 1" in said
    assert "leak.png" in said


def test_arrays_are_given_back_as_they_are(folder):
    digits = load_source("digits")
    assert leave_out_unreadable(digits, folder) is digits


def test_a_list_of_odd_names_is_read_as_it_was_written(folder, tmp_path):
    source = look(folder)
    odd = dict.fromkeys(source.x_train.paths.tolist()[:-1], 'is\nodd, "too"')
    with (tmp_path / "left_out.csv").open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        write_left_out(file, odd)
    assert look(folder, tmp_path / "left_out.csv").left_out == odd
