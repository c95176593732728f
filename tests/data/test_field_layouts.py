"""Layouts that are nearly right: faults of whole kinds that users have met."""

import shlex

import pytest

from agad_tf.config.errors import UsageError
from agad_tf.config.options import Unsaid
from agad_tf.data.sources import load_source
from tests.data.files import numbered, task_of, write


def mvtec(root, *categories):
    for name in categories:
        write(root / name, *numbered("train/good", 6), *numbered("test/good", 2), *numbered("test/crack", 2))
        write(root / name, "ground_truth/crack/000_mask.png")


def command_that_works(error):
    return shlex.split(str(error.value).split("--data_dir=")[1])[0].rstrip(",.")


@pytest.mark.parametrize("name", ["mvtec", "my sets"])
def test_a_layout_of_several_categories_names_them_and_a_command_that_works(tmp_path, name):
    mvtec(tmp_path / name, "bottle", "cable", "wood")
    (tmp_path / name / "license.txt").write_text("free")
    with pytest.raises(
        UsageError, match="holds 3 sets of images, not one: bottle, cable, wood; give --data_dir="
    ) as error:
        load_source("folder", str(tmp_path / name), 16)
    assert load_source("folder", command_that_works(error), 16).class_names == ("good", "crack")


def test_a_layout_of_several_categories_of_visa_names_them(tmp_path):
    for name in ("candle", "pcb1"):
        write(tmp_path / name / "Data", "Images/Normal/0.JPG", "Images/Anomaly/0.JPG", "Masks/Anomaly/0.png")
    with pytest.raises(UsageError, match="2 sets of images, not one: candle, pcb1"):
        load_source("folder", str(tmp_path), 16)


ONE_TOO_HIGH = {
    "undivided": [*numbered("normal", 8), *numbered("abnormal", 8)],
    "divided": [*numbered("train/ok", 8), *numbered("test/ok", 2), *numbered("test/bad", 2)],
    "good images alone": numbered("good", 8),
}


@pytest.mark.parametrize("layout", ONE_TOO_HIGH)
@pytest.mark.parametrize("inside", ["line 1/photos", "2026/line 1/photos"])
def test_a_layout_several_levels_too_high_names_a_command_that_works(tmp_path, layout, inside):
    write(tmp_path / inside, *ONE_TOO_HIGH[layout])
    with pytest.raises(UsageError, match=f"holds one set of images, in {inside}; give --data_dir=") as error:
        load_source("folder", str(tmp_path), 16)
    assert load_source("folder", command_that_works(error), 16).class_number(Unsaid(0)) == 0


@pytest.mark.parametrize("layout", ONE_TOO_HIGH)
def test_a_layout_one_level_too_high_names_a_command_that_works(tmp_path, layout):
    write(tmp_path / "photos", *ONE_TOO_HIGH[layout])
    with pytest.raises(UsageError, match="holds one set of images, in photos; give --data_dir=") as error:
        load_source("folder", str(tmp_path), 16)
    assert load_source("folder", command_that_works(error), 16).class_number(Unsaid(0)) == 0


@pytest.mark.parametrize("parts", [("training", "testing"), ("Training", "Testing"), ("TRAIN", "Test")])
def test_a_layout_with_training_and_testing_is_read(tmp_path, parts):
    train, test = parts
    write(tmp_path, *numbered(f"{train}/good", 6), *numbered(f"{test}/good", 2), *numbered(f"{test}/bad", 3))
    source = load_source("folder", str(tmp_path), 16)
    assert (len(source.x_train), len(source.x_test)) == (6, 5)
    assert source.class_names == ("good", "bad")


@pytest.mark.parametrize("normal", ["good", "OK"])
def test_a_layout_with_images_right_in_train_takes_them_as_normal(tmp_path, normal):
    write(tmp_path, *numbered("train", 6), *numbered(f"test/{normal}", 2), *numbered("test/bad", 3))
    source = load_source("folder", str(tmp_path), 16)
    assert (source.class_names, len(source.x_train)) == ((normal, "bad"), 6)
    assert f"6 images directly in the train part: they count as normal (class {normal})" in source.note


def test_a_layout_with_images_right_in_train_and_no_test_good_is_read(tmp_path):
    write(tmp_path, *numbered("train", 20), *numbered("test/bad", 3))
    source = load_source("folder", str(tmp_path), 16)
    assert (source.class_names, len(source.x_train), len(source.x_test)) == (("good", "bad"), 16, 7)


def test_a_layout_with_images_right_in_test_is_asked_which_are_normal(tmp_path):
    write(tmp_path, *numbered("train", 6), *numbered("test", 4))
    with pytest.raises(
        UsageError, match=r"4 images of the test part of .* have no class folder.*good/ and one folder for each"
    ):
        load_source("folder", str(tmp_path), 16)


def test_a_layout_of_the_classes_valid_and_invalid_is_read(tmp_path):
    write(tmp_path, *numbered("valid", 20), *numbered("invalid", 10))
    with pytest.raises(UsageError, match="--normal_class to the command, one of invalid, valid"):
        task_of(tmp_path, Unsaid(0))
    source, task = task_of(tmp_path, "valid")
    assert source.class_names == ("invalid", "valid")
    assert [int(sum(task.test.labels == label)) for label in (0, 1)] == [4, 5]


def test_a_layout_with_a_folder_that_is_no_part_names_it(tmp_path):
    write(tmp_path, *numbered("train/good", 6), *numbered("test/good", 2), *numbered("more/good", 2))
    with pytest.raises(UsageError, match=r"belongs to no part of the set: .*/more is not one of test, train"):
        load_source("folder", str(tmp_path), 16)


def test_a_layout_without_a_part_says_what_each_part_has(tmp_path):
    write(tmp_path, *numbered("train/good", 6), *numbered("train/bad", 2), *numbered("val/good", 2))
    with pytest.raises(UsageError, match="has images 8 for train, 2 for val; give some for both train and test"):
        load_source("folder", str(tmp_path), 16)


def test_a_folder_of_files_that_are_no_images_says_what_they_are(tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.dcm").write_bytes(b"")
    with pytest.raises(UsageError, match=r"no images in .* that can be read \(there are 3 \.dcm files\)"):
        load_source("folder", str(tmp_path), 16)


@pytest.mark.parametrize(
    ("name", "advice"),
    [("set.npz", "--dataset=npz"), ("set.zip", "unpack it"), ("set.tar.gz", "unpack it"), ("a.PNG", "name the folder")],
)
def test_a_file_that_is_no_list_is_called_what_it_is(tmp_path, name, advice):
    (tmp_path / name).write_bytes(b"no list")
    with pytest.raises(UsageError, match=advice):
        load_source("folder", str(tmp_path / name), 16)


@pytest.mark.parametrize("inside", ["line", "2026/line"])
def test_a_layout_too_high_of_classes_with_own_names_is_told_by_the_normal_one(tmp_path, inside):
    write(tmp_path / inside, *numbered("intact", 8), *numbered("broken", 8))
    with pytest.raises(UsageError, match=r"has no class 'intact', only .* has that class: give --data_dir=") as error:
        load_source("folder", str(tmp_path), 16, "intact")
    assert load_source("folder", command_that_works(error), 16, "intact").class_names == ("broken", "intact")
    with pytest.raises(
        UsageError, match=r"which holds broken, intact\. If these are the classes, give --data_dir="
    ) as error:
        load_source("folder", str(tmp_path), 16, Unsaid(0))
    assert load_source("folder", command_that_works(error), 16, "intact").class_names == ("broken", "intact")


def test_a_layout_too_high_of_several_sets_is_told_by_the_normal_class(tmp_path):
    for name in ("bottle", "cable"):
        write(tmp_path / name, *numbered("intact", 8), *numbered("broken", 8))
    with pytest.raises(UsageError, match=r"bottle has that class: .*, or one of .*cable\."):
        load_source("folder", str(tmp_path), 16, "intact")


@pytest.mark.parametrize("name", ["", ".", "..", "worn"])
def test_a_class_that_is_nowhere_is_not_found_deeper(tmp_path, name):
    write(tmp_path, *numbered("good", 8), *numbered("bad", 8))
    source = load_source("folder", str(tmp_path), 16, name)
    with pytest.raises(UsageError, match="has no class"):
        source.class_number(name)


def test_one_folder_of_folders_may_be_the_normal_class(tmp_path):
    write(tmp_path / "photos", *numbered("monday", 8), *numbered("tuesday", 8))
    assert load_source("folder", str(tmp_path), 16, "photos").class_names == ("photos",)


@pytest.mark.parametrize("between", ["images", "bottle"])
def test_a_folder_between_part_and_class_is_no_class(tmp_path, between):
    write(tmp_path, *(name for part in ("train", "test") for name in numbered(f"{part}/{between}/good", 4)))
    write(tmp_path, *numbered(f"test/{between}/crack", 2))
    assert load_source("folder", str(tmp_path), 16).class_names == ("good", "crack")


def test_parts_inside_of_classes_are_refused_with_the_way_round(tmp_path):
    write(tmp_path, *numbered("good/train", 4), *numbered("good/test", 2), *numbered("bad/test", 2))
    with pytest.raises(UsageError, match=r"parts inside classes, such as bad/test; .* as in test/bad\."):
        load_source("folder", str(tmp_path), 16)


def test_images_right_in_the_training_part_are_of_the_class_that_is_named_normal(tmp_path):
    write(tmp_path, *numbered("train", 4), *numbered("test/intact", 2), *numbered("test/bad", 2))
    source = load_source("folder", str(tmp_path), 16, "intact")
    assert (source.y_train == source.class_names.index("intact")).all()
    assert "These classes count as abnormal: bad, intact." in load_source("folder", str(tmp_path), 16).note


def test_a_set_of_training_and_validation_parts_is_told_what_to_rename(tmp_path):
    write(tmp_path, *numbered("train/good", 4), *numbered("val/good", 2), *numbered("val/bad", 2))
    with pytest.raises(UsageError, match="Rename its part val to test"):
        load_source("folder", str(tmp_path), 16)


def test_image_files_of_other_formats_and_empty_folders_are_said(tmp_path):
    write(tmp_path, *numbered("good", 8), *numbered("bad", 2))
    for name in numbered("bad", 2):
        (tmp_path / name).rename((tmp_path / name).with_suffix(".HEIC"))
    (tmp_path / "worse").mkdir()
    note = load_source("folder", str(tmp_path), 16).note
    assert "2 .heic files" in note and "save them as PNG" in note and "worse is empty" in note


@pytest.mark.parametrize("output", ["scores", "runs/a/predictions", "."])
def test_maps_of_predictions_are_no_images_of_a_set(tmp_path, output):
    write(tmp_path, *numbered("good", 8), *numbered("bad", 2))
    before = load_source("folder", str(tmp_path), 16)
    write(tmp_path / output, "maps/good/000.png.png", "colour_scale.png")
    for name in ("detector.json", "scores.csv"):
        (tmp_path / output / name).touch()
    source = load_source("folder", str(tmp_path), 16)
    assert source.class_names == before.class_names
    assert source.x_train.paths.tolist() == before.x_train.paths.tolist()
