import numpy as np
import pytest

from agad_tf.config.errors import RunError, UsageError
from agad_tf.data.sources import load_source
from agad_tf.data.splits import one_class_task
from tests.data.files import numbered, write


@pytest.fixture
def undivided(tmp_path):
    write(tmp_path, *numbered("abnormal", 10), *numbered("normal", 40))
    return tmp_path


def test_an_undivided_folder_is_divided_and_normal_is_class_0(undivided):
    source = load_source("folder", str(undivided), 16)
    assert source.class_names == ("normal", "abnormal")
    assert [np.sum(source.y_train == number) for number in (0, 1)] == [32, 5]
    assert [np.sum(source.y_test == number) for number in (0, 1)] == [8, 5]
    assert not set(source.x_train.paths) & set(source.x_test.paths)
    assert len(source.test_names) == 13


def test_a_picture_that_is_added_leaves_the_others_where_they_are(undivided):
    before = load_source("folder", str(undivided), 16)
    write(undivided, "normal/0.png")
    after = load_source("folder", str(undivided), 16)
    moved = set(before.test_names) ^ set(after.test_names)
    assert len(moved - {"normal/0.png"}) <= 1


def test_the_layout_of_mvtec_with_masks_is_read(tmp_path):
    write(tmp_path, *numbered("train/good", 6), *numbered("test/good", 2), *numbered("test/crack", 2))
    write(tmp_path, "ground_truth/crack/001_mask.png", value=255, mode="L")
    source = load_source("folder", str(tmp_path), 16)
    assert source.class_names == ("good", "crack")
    assert (len(source.x_train), len(source.x_test)) == (6, 4)
    assert {source.test_names[row]: mask.name for row, (mask,) in source.test_masks.items()} == {
        "test/crack/001.png": "001_mask.png"
    }


def test_a_validation_part_of_its_own_is_used_as_such(tmp_path):
    for part, count in (("train", 20), ("val", 10), ("test", 5)):
        write(tmp_path, *numbered(f"{part}/ok", count), *numbered(f"{part}/bad", count))
    source = load_source("folder", str(tmp_path), 16)
    task = one_class_task(source, 0, gamma=0.1)
    assert [np.sum(task.train.labels == label) for label in (0, 1)] == [20, 2]
    # As many labelled anomalies as γ allows: all of the validation part would be more than it says are known.
    assert [np.sum(task.validation.labels == label) for label in (0, 1)] == [10, 2]
    assert all("/val/" in path for path in task.validation.images.paths)
    assert not one_class_task(source, 0).validation.labels.any()


def test_a_csv_lists_pictures_with_labels_and_splits(tmp_path):
    write(tmp_path, *numbered("pictures", 6))
    lines = [f"pictures/{n:03d}.png,{'fine' if n % 2 else 'odd'},{'test' if n < 2 else 'Train'}" for n in range(6)]
    (tmp_path / "list.csv").write_text("\n".join(["path,label,split", *lines]))
    source = load_source("folder", str(tmp_path / "list.csv"), 16)
    assert source.class_names == ("fine", "odd")
    assert (len(source.x_train), source.test_names) == (4, ("pictures/000.png", "pictures/001.png"))


def parts_of(source):
    return len(source.x_train), len(source.x_test)


@pytest.mark.parametrize("folder", ["", "good/", "normal/", "train/good/"])
def test_good_images_alone_are_divided_into_train_and_test(tmp_path, folder):
    write(tmp_path, *(f"{folder}{number:03d}.png" for number in range(40)))
    source = load_source("folder", str(tmp_path), 16)
    assert parts_of(source) == (32, 8)
    assert not set(source.x_train.paths) & set(source.x_test.paths)
    assert source.class_number(0) == 0
    assert len(source.class_names) == 1
    assert ("no class folders: all 40 images count as normal" in source.note) == (folder == "")
    task = one_class_task(source, 0)
    assert [len(split.labels) for split in (task.train, task.validation, task.test)] == [29, 3, 8]
    assert not task.has_test_anomalies


def test_good_images_alone_that_are_divided_stay_divided(tmp_path):
    write(tmp_path, *numbered("train/good", 10), *numbered("val/good", 4), *numbered("test/good", 3))
    source = load_source("folder", str(tmp_path), 16)
    assert (*parts_of(source), len(source.x_val)) == (10, 3, 4)


def test_a_validation_part_stays_whole_when_the_training_part_of_good_images_is_divided(tmp_path):
    write(tmp_path, *numbered("train/good", 10), *numbered("val/good", 4))
    source = load_source("folder", str(tmp_path), 16)
    assert (*parts_of(source), len(source.x_val)) == (8, 2, 4)


@pytest.mark.parametrize("name", ["parts", "my parts"])
def test_an_only_class_of_another_name_is_not_taken_as_normal(tmp_path, name):
    write(tmp_path, *numbered(name, 10))
    source = load_source("folder", str(tmp_path), 16)
    with pytest.raises(UsageError, match=f"of class '{name}'.*--normal_class=(parts|'my parts') "):
        source.class_number(0)
    assert source.class_number(name) == 0


@pytest.mark.parametrize("columns", ["path", "path,label", "path,split"])
def test_a_csv_of_good_images_alone_is_divided(tmp_path, columns):
    write(tmp_path, *numbered("pictures", 10))
    rest = {"path": "", "path,label": ",good", "path,split": ",train"}[columns]
    lines = [f"{name}{rest}" for name in numbered("pictures", 10)]
    (tmp_path / "list.csv").write_text("\n".join([columns, *lines]))
    source = load_source("folder", str(tmp_path / "list.csv"), 16)
    assert (parts_of(source), source.class_names) == ((8, 2), ("good",))
    assert ("no column label: all 10 images count as normal" in source.note) == (columns != "path,label")


def test_classes_go_by_name_and_by_number(undivided):
    source = load_source("folder", str(undivided), 16)
    assert [source.class_number(name) for name in (0, 1, "normal", "abnormal")] == [0, 1, 0, 1]
    for wrong in ("scratch", 2, -1):
        with pytest.raises(UsageError, match="normal, abnormal"):
            source.class_number(wrong)


def test_which_class_is_normal_is_not_guessed(tmp_path):
    write(tmp_path, *numbered("bad", 4), *numbered("fine", 4))
    source = load_source("folder", str(tmp_path), 16)
    with pytest.raises(UsageError, match="one of bad, fine"):
        source.class_number(0)
    assert source.class_number("fine") == 1


def test_numbered_folders_go_by_their_names(tmp_path):
    write(tmp_path, *numbered("10", 4), *numbered("9", 4))
    source = load_source("folder", str(tmp_path), 16)
    assert source.class_names[source.class_number(9)] == "9"


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        ([], "no images"),
        (["a.png", "good/b.png"], "has no class folder"),
        (["a.png"], "too few to divide"),
        (["train/a.png", "train/bad/c.png", "test/good/b.png"], "has no class folder"),
        (["train/good/a.png", "other/b.png", "test/good/c.png"], "other is not one of"),
        (["train/good/a.png", "train/bad/b.png"], "both train and test"),
        (["test/good/a.png"], "both train and test"),
        (["train/good/a.png"], "too few to divide"),
    ],
)
def test_folders_in_no_layout_are_refused(tmp_path, names, complaint):
    write(tmp_path, *names)
    with pytest.raises(UsageError, match=complaint):
        load_source("folder", str(tmp_path), 16)


@pytest.mark.parametrize(
    ("text", "kind", "complaint"),
    [
        ("", RunError, "cannot be read as a CSV"),
        ("file,label\na.png,x\n", UsageError, "columns path and label"),
        ("path,class\na.png,bad\n", UsageError, "columns path and label; its columns are path, class"),
        ("path,label\n", UsageError, "must have rows"),
        ("path,label\nnone.png,x\n", RunError, r"none\.png, but there is no such file"),
        ("path,label,split\na.png,x,later\n", UsageError, "the split 'later'"),
    ],
)
def test_csvs_that_do_not_say_what_they_must_are_refused(tmp_path, text, kind, complaint):
    write(tmp_path, "a.png")
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(kind, match=complaint):
        load_source("folder", str(tmp_path / "list.csv"), 16)


def test_a_folder_that_does_not_exist_is_refused():
    with pytest.raises(UsageError, match="does not exist"):
        load_source("folder", "/nowhere", 16)


RNG = np.random.default_rng(0)


def arrays(**changes):
    parts = {}
    for split, count in (("train", 30), ("val", 10), ("test", 12)):
        parts[f"{split}_images"] = RNG.integers(0, 256, (count, 8, 8), np.uint8)
        parts[f"{split}_labels"] = (np.arange(count) % 2).astype(np.uint8)[:, np.newaxis]
    return {name: array for name, array in {**parts, **changes}.items() if array is not None}


def test_a_file_of_medmnist_is_read_as_it_is(tmp_path):
    np.savez(tmp_path / "set.npz", **arrays())
    source = load_source("npz", str(tmp_path / "set.npz"))
    assert source.x_train.shape == (30, 8, 8, 1)
    assert source.y_val.tolist() == [0, 1] * 5
    task = one_class_task(source, 0, gamma=0.2)
    assert [len(split.labels) for split in (task.train, task.validation, task.test)] == [15 + 4, 5 + 2, 12]


def test_an_array_file_of_keras_is_read_by_class_name(tmp_path):
    images = RNG.integers(0, 256, (6, 8, 8, 3), np.uint8)
    labels = np.array([0, 1, 2, 0, 1, 2])
    np.savez(
        tmp_path / "set.npz", x_train=images, y_train=labels, x_test=images, y_test=labels, class_names=list("abc")
    )
    source = load_source("npz", str(tmp_path / "set.npz"))
    assert (source.channels, source.class_number("c"), source.class_number(1)) == (3, 2, 1)


@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize(("images_name", "labels_name"), [("train_images", "train_labels"), ("x_train", "y_train")])
def test_arrays_of_good_images_alone_are_divided(tmp_path, images_name, labels_name, labels):
    images = RNG.integers(0, 256, (20, 8, 8), np.uint8)
    given = {labels_name: np.zeros(20, int)} if labels else {}
    np.savez(tmp_path / "set.npz", **{images_name: images}, **given)
    source = load_source("npz", str(tmp_path / "set.npz"))
    assert parts_of(source) == (16, 4)
    together = np.concatenate([source.x_train, source.x_test])[..., 0]
    assert sorted(map(bytes, together)) == sorted(map(bytes, images))
    assert ("has no labels" in source.note) == (not labels)


def test_labels_under_another_name_are_not_taken_for_none(tmp_path):
    np.savez(tmp_path / "set.npz", x_train=np.zeros((9, 8, 8), np.uint8), labels=np.arange(9))
    with pytest.raises(UsageError, match="it has x_train, labels"):
        load_source("npz", str(tmp_path / "set.npz"))


def test_arrays_of_several_classes_need_a_test_part(tmp_path):
    np.savez(tmp_path / "set.npz", x_train=np.zeros((9, 8, 8), np.uint8), y_train=np.arange(9) % 2)
    with pytest.raises(UsageError, match="must hold"):
        load_source("npz", str(tmp_path / "set.npz"))


@pytest.mark.parametrize(
    ("changes", "kind", "complaint"),
    [
        ({"test_images": None}, UsageError, "must hold train_images"),
        ({"train_images": np.zeros((30, 8, 8), np.float32)}, RunError, "mixes whole and floating-point numbers"),
        ({"train_images": np.zeros((30, 8, 8, 4), np.uint8)}, RunError, "must be numbers"),
        ({"train_labels": np.zeros((30, 14), np.uint8)}, RunError, "one class for each"),
        ({"train_labels": np.full(30, 0.5, np.float32)}, RunError, "class numbers"),
        ({"test_images": np.zeros((12, 9, 9), np.uint8)}, RunError, "differ in image size or channels"),
    ],
)
def test_arrays_that_are_not_what_they_must_be_are_refused(tmp_path, changes, kind, complaint):
    np.savez(tmp_path / "set.npz", **arrays(**changes))
    with pytest.raises(kind, match=complaint):
        load_source("npz", str(tmp_path / "set.npz"))


def test_the_folder_of_an_npz_is_not_the_file(tmp_path):
    with pytest.raises(UsageError, match="must be the"):
        load_source("npz", str(tmp_path))
