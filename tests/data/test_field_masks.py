"""Ground-truth masks as public sets have them: faults of whole kinds that users have met."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from agad_tf.config.errors import RunError
from agad_tf.data.masks import masks_of, read_masks
from agad_tf.data.sources import load_source
from tests.data.files import task_of, write

GOOD = [*(f"train/good/{n}.png" for n in range(4)), "test/good/000.png"]


def masks_found(root, *normal):
    source = load_source("folder", str(root), 16, *normal)
    folder = Path(source.origin)
    return {
        source.test_names[row]: [mask.relative_to(folder).as_posix() for mask in masks]
        for row, masks in source.test_masks.items()
    }


PUBLIC = {
    "MVTec AD": (["test/hole/000.png"], ["ground_truth/hole/000_mask.png"]),
    "MVTec LOCO": (
        ["test/logical_anomalies/000.png"],
        ["ground_truth/logical_anomalies/000/000.png", "ground_truth/logical_anomalies/000/001.png"],
    ),
    "BTAD 1": (["test/ko/0000.bmp"], ["ground_truth/ko/0000.png"]),
    "BTAD 3": (["test/ko/0000.bmp"], ["ground_truth/ko/0000.bmp"]),
    "VisA, converted": (["test/bad/000.JPG"], ["ground_truth/bad/000.png"]),
    "jpg": (["test/hole/000.png"], ["ground_truth/hole/000_mask.jpg"]),
    "tif": (["test/hole/000.tiff"], ["ground_truth/hole/000_mask.tif"]),
    "capitals": (["test/Hole/IMG_1.JPG"], ["Ground_Truth/hole/img_1_MASK.PNG"]),
    "nested": (["test/hole/deep/000.png"], ["ground_truth/hole/deep/000_mask.png"]),
    "nested, masks right below the class": (["test/hole/deep/000.png"], ["ground_truth/hole/000_mask.png"]),
}


@pytest.mark.parametrize("layout", PUBLIC)
def test_masks_of_public_layouts_are_found(tmp_path, layout):
    images, masks = PUBLIC[layout]
    write(tmp_path, *GOOD, *images, *masks, value=100)
    assert masks_found(tmp_path) == {images[0]: masks}


def test_masks_of_visa_are_found(tmp_path):
    normal = [f"Data/Images/Normal/{n:04d}.JPG" for n in range(10)]
    bad = [f"Data/Images/Anomaly/{n:03d}.JPG" for n in range(4)]
    write(tmp_path, *normal, *bad, *(f"Data/Masks/Anomaly/{n:03d}.png" for n in range(4)))
    source = load_source("folder", str(tmp_path), 16)
    assert source.class_names == ("Normal", "Anomaly")
    assert masks_found(tmp_path) == {
        name: [f"Data/Masks/Anomaly/{Path(name).stem}.png"] for name in source.test_names if "Anomaly" in name
    }
    assert load_source("folder", str(tmp_path / "Data" / "Images"), 16).class_names == ("Normal", "Anomaly")


NOT_ITS_OWN = {
    "equal stems in two folders": ["hole/a/000.png", "hole/b/000.png"],
    "equal stems of two endings": ["hole/000.png", "hole/000.jpg"],
}


@pytest.mark.parametrize("case", NOT_ITS_OWN)
def test_masks_judge_no_other_image(tmp_path, case):
    write(tmp_path, *GOOD, *(f"test/{name}" for name in NOT_ITS_OWN[case]), "ground_truth/hole/000_mask.png")
    assert masks_found(tmp_path) == {}


def test_masks_of_equal_names_go_by_their_folders(tmp_path):
    write(tmp_path, *GOOD, "test/hole/a/000.png", "test/hole/b/000.png", "test/dent/a/000.png")
    write(tmp_path, "ground_truth/hole/b/000_mask.png", "ground_truth/dent/a/000_mask.png")
    assert masks_found(tmp_path) == {
        "test/hole/b/000.png": ["ground_truth/hole/b/000_mask.png"],
        "test/dent/a/000.png": ["ground_truth/dent/a/000_mask.png"],
    }


def test_masks_of_a_folder_for_each_image_are_not_taken_for_images_of_that_name(tmp_path):
    write(tmp_path, "hole/000/000.png", "hole/000/001.png")
    images = [Path("hole/000.png"), Path("hole/001.png")]
    assert list(masks_of(tmp_path, images)) == images[:1]


def test_masks_are_counted_and_said(tmp_path, capsys):
    write(tmp_path, *GOOD, "test/hole/000.png", "test/hole/001.png", "test/dent/000.png", value=50)
    write(tmp_path, "ground_truth/hole/001.png", value=50)
    task_of(tmp_path)
    assert "1 of 3 abnormal images have a mask" in capsys.readouterr().err


def test_masks_that_belong_to_no_image_are_said(tmp_path, capsys):
    write(tmp_path, *GOOD, "test/hole/000.png", "ground_truth/holes/000_mask.png", value=50)
    task_of(tmp_path)
    assert "0 of 1 abnormal images have a mask" in capsys.readouterr().err


def test_no_masks_are_no_word(tmp_path, capsys):
    write(tmp_path, *GOOD, "test/hole/000.png")
    task_of(tmp_path)
    assert "mask" not in capsys.readouterr().err


# === What masks hold ===


def save(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.mark.parametrize("value", [1, 255, 256, 4095, 65535])
def test_masks_of_16_bits_are_abnormal_where_they_are_not_0(tmp_path, value):
    pixels = np.zeros((4, 6), np.uint16)
    pixels[1, 2] = value
    np.testing.assert_array_equal(read_masks([save(tmp_path / "a.png", pixels)]), pixels > 0)


def test_masks_of_lossy_files_are_abnormal_where_they_are_bright(tmp_path):
    shape = np.zeros((64, 64), np.uint8)
    shape[20:37, 11:50] = 255
    found = read_masks([save(tmp_path / "a.jpg", shape, quality=60)])
    assert np.mean(found != (shape > 0)) < 0.01


def test_several_masks_of_an_image_are_united(tmp_path):
    first, second = np.zeros((2, 5, 5), np.uint8)
    first[0, 0], second[4, 4] = 255, 1
    files = [save(tmp_path / "a.png", first), save(tmp_path / "b.png", second)]
    np.testing.assert_array_equal(read_masks(files), (first + second) > 0)


def test_masks_of_one_image_that_differ_in_size_are_refused(tmp_path):
    files = [save(tmp_path / f"{n}.png", np.zeros((n, 5), np.uint8)) for n in (4, 5)]
    with pytest.raises(RunError, match=r"5\.png is a mask with another size"):
        read_masks(files)


ELSEWHERE = {
    "masks": "masks/hole/000.png",
    "GT": "GT/hole/000_GT.png",
    "in the part": "test/ground_truth/hole/000_mask.png",
    "in a part of its own": "ground_truth/test/hole/000_mask.png",
    "beside the image": "test/hole/000_mask.png",
    "another ending": "ground_truth/hole/000_segmentation.png",
}


@pytest.mark.parametrize("place", ELSEWHERE)
def test_masks_that_lie_elsewhere_are_no_images(tmp_path, place):
    write(tmp_path, *GOOD, "test/hole/000.png", ELSEWHERE[place], value=100)
    assert masks_found(tmp_path) == {"test/hole/000.png": [ELSEWHERE[place]]}
    assert load_source("folder", str(tmp_path), 16).class_names == ("good", "hole")


def test_masks_beside_the_images_of_an_undivided_set_are_no_class(tmp_path):
    write(tmp_path, *(f"good/{n}.png" for n in range(8)), *(f"bad/{n}.png" for n in range(8)))
    write(tmp_path, *(f"masks/bad/{n}.png" for n in range(8)), value=100)
    source = load_source("folder", str(tmp_path), 16)
    assert source.class_names == ("good", "bad")
    assert len(source.test_masks) == len(source.train_masks) == 4


def test_a_class_may_be_called_mask(tmp_path):
    write(tmp_path, *(f"{name}/{n}.png" for name in ("mask", "no_mask") for n in range(8)))
    assert load_source("folder", str(tmp_path), 16).class_names == ("mask", "no_mask")


@pytest.mark.parametrize("name", ["ground_truth/hole/mask_000.png", "ground_truth/000_mask.png"])
def test_masks_that_are_not_used_are_said(tmp_path, name):
    write(tmp_path, *GOOD, "test/hole/000.png", name)
    note = load_source("folder", str(tmp_path), 16).note
    assert name in note and "name them ground_truth/<class>/<image>_mask.png" in note
