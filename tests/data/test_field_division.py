"""How users' sets are divided: faults of whole kinds that users have met."""

import pytest

from agad_tf.config.errors import UsageError
from agad_tf.data.sources import load_source
from tests.data.files import numbered, task_of, write


def counts(source, part):
    labels = getattr(source, f"y_{part}")
    return {name: int(sum(labels == number)) for number, name in enumerate(source.class_names)}


# === Dividing an undivided set ===


@pytest.mark.parametrize("normal", ["intact", 1])
def test_dividing_an_undivided_set_goes_by_the_normal_class(tmp_path, normal):
    write(tmp_path, *numbered("intact", 60), *numbered("defect", 20))
    source = load_source("folder", str(tmp_path), 16, normal)
    assert source.class_names == ("defect", "intact")
    assert counts(source, "test") == {"defect": 10, "intact": 12}
    assert counts(source, "train") == {"defect": 10, "intact": 48}


def test_dividing_an_undivided_set_of_several_defects_goes_by_the_normal_class(tmp_path):
    write(tmp_path, *numbered("a_scratch", 10), *numbered("parts", 20), *numbered("z_hole", 10))
    source = load_source("folder", str(tmp_path), 16, "parts")
    assert counts(source, "test") == {"a_scratch": 5, "parts": 4, "z_hole": 5}


def test_dividing_an_undivided_list_goes_by_the_normal_class(tmp_path):
    write(tmp_path, *numbered("images", 30))
    rows = [f"{name},{'bad' if number < 10 else 'fine'}" for number, name in enumerate(numbered("images", 30))]
    (tmp_path / "list.csv").write_text("\n".join(["path,label", *rows]))
    source = load_source("folder", str(tmp_path / "list.csv"), 16, "fine")
    assert counts(source, "test") == {"bad": 5, "fine": 4}


def test_dividing_holds_the_same_images_whatever_the_normal_class_is_called(tmp_path):
    sources = []
    for normal in ("intact", "good"):
        write(tmp_path / normal, *numbered(normal, 20), *numbered("hurt", 10))
        sources.append(load_source("folder", str(tmp_path / normal), 16, normal))
        assert counts(sources[-1], "test") == {normal: 4, "hurt": 5}
    hurt = [{name for name in source.test_names if "hurt" in name} for source in sources]
    assert hurt[0] == hurt[1]


# === A test part without normal images ===


def test_a_layout_without_test_good_holds_out_a_fifth_of_train_good(tmp_path):
    write(tmp_path, *numbered("train/good", 30), *numbered("test/bad", 8))
    source = load_source("folder", str(tmp_path), 16)
    assert counts(source, "train") == {"good": 24, "bad": 0}
    assert counts(source, "test") == {"good": 6, "bad": 8}
    assert "no images of class good for testing: 6 of 30 are held out from its training part" in source.note
    assert not set(source.x_train.paths) & set(source.x_test.paths)


def test_a_layout_with_test_good_stays_as_it_is(tmp_path):
    write(tmp_path, *numbered("train/good", 30), *numbered("test/bad", 8), *numbered("test/good", 2))
    source = load_source("folder", str(tmp_path), 16)
    assert counts(source, "test") == {"good": 2, "bad": 8}
    assert not source.note


def test_a_layout_without_train_good_says_how_many_each_part_has(tmp_path):
    write(tmp_path, *numbered("train/bad", 5), *numbered("test/good", 5), *numbered("test/bad", 5))
    with pytest.raises(UsageError, match="Class good of folder has 0 images for training and 5 for testing"):
        task_of(tmp_path, 0)
