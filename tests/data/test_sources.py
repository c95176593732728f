import dataclasses
import gzip
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import resource

from agad_tf.config.choices import CLASS_COUNTS, OWN_SETS
from agad_tf.config.errors import RunError, UsageError
from agad_tf.data import sources
from agad_tf.data.cifar100_classes import COARSE_NAMES, COARSE_OF_FINE
from agad_tf.data.sources import BENCHMARKS, SOURCES, load_source
from tests.data.test_readers import idx_bytes, picture_bytes, write_pictures


def arrays(images=20, classes=10, channels=()):
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (images, 6, 6, *channels), np.uint8),
        "y_train": rng.integers(0, classes, images),
        "x_test": rng.integers(0, 256, (images // 2, 6, 6, *channels), np.uint8),
        "y_test": rng.integers(0, classes, images // 2),
    }


def write_idx_files(folder):
    """Writes the four files that MNIST and Fashion-MNIST come in, and returns what they hold."""
    data = arrays()
    for split, prefix in (("train", "train"), ("test", "t10k")):
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(idx_bytes(data[f"x_{split}"]))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(idx_bytes(data[f"y_{split}"].astype(np.uint8)))
    return data


def test_every_dataset_flag_has_a_source_and_its_class_count():
    assert set(SOURCES) == {*CLASS_COUNTS, *OWN_SETS}
    for name, benchmark in BENCHMARKS.items():
        assert len(benchmark.names) in (0, CLASS_COUNTS[name])


def test_digits_come_with_scikit_learn_and_are_scaled_to_bytes():
    source = load_source("digits")
    assert source.x_train.shape == (1437, 8, 8, 1)
    assert source.x_test.shape == (360, 8, 8, 1)
    assert source.x_train.dtype == np.uint8
    assert source.x_train.max() == 255
    assert set(source.y_test) == set(range(10))


def test_fashion_mnist_is_looked_for_where_debian_installs_it(monkeypatch):
    searched = []
    monkeypatch.setattr(sources, "_local_copies", lambda place, *_: searched.append(place) or [arrays(channels=(1,))])
    assert load_source("fashion_mnist").origin == "/usr/share/datasets/fashion-mnist"
    assert searched == [Path("/usr/share/datasets/fashion-mnist")]


@pytest.mark.by_hand
def test_fashion_mnist_is_read_as_debian_installs_it():
    """Needs Debian's package dataset-fashion-mnist, as the recipe's test does; .ci/run runs it where that is."""
    source = load_source("fashion_mnist")
    assert source.origin == "/usr/share/datasets/fashion-mnist"
    assert source.x_train.shape == (60_000, 28, 28, 1)
    assert source.x_test.shape == (10_000, 28, 28, 1)
    assert np.bincount(source.y_train).tolist() == [6000] * 10
    assert np.bincount(source.y_test).tolist() == [1000] * 10


def write_whole_fashion_mnist(folder):
    """Writes files of Fashion-MNIST's names and numbers of images; there are 100 images, again and again."""
    pictures = np.random.default_rng(0).integers(0, 256, (100, 28, 28), np.uint8)
    for prefix, count in (("train", 60_000), ("t10k", 10_000)):
        rows = np.arange(count)
        for name, data in (("images-idx3", pictures[rows % 100]), ("labels-idx1", (rows % 10).astype(np.uint8))):
            (folder / f"{prefix}-{name}-ubyte.gz").write_bytes(gzip.compress(idx_bytes(data), compresslevel=1))


def test_without_data_dir_the_folder_of_the_package_is_read(tmp_path, monkeypatch):
    data = write_idx_files(tmp_path)
    monkeypatch.setitem(
        BENCHMARKS, "fashion_mnist", dataclasses.replace(BENCHMARKS["fashion_mnist"], folders=(str(tmp_path),))
    )
    np.testing.assert_array_equal(load_source("fashion_mnist").y_train, data["y_train"])


@pytest.mark.slow
def test_tensorflow_datasets_prepares_fashion_mnist_offline_from_primed_downloads(tmp_path):
    """The real builder runs; its download cache holds the files, so that no network is asked."""
    files, prepared_in = tmp_path / "files", tmp_path / "prepared"
    downloads = prepared_in / "downloads" / "fashion_mnist"
    files.mkdir()
    downloads.mkdir(parents=True)
    write_whole_fashion_mnist(files)
    builder = tfds.builder("fashion_mnist", data_dir=prepared_in)
    for url, info in builder.url_infos.items():
        cached = downloads / resource.get_dl_fname(url, info.checksum)
        shutil.copy(files / url.rsplit("/", 1)[-1], cached)
        Path(f"{cached}.INFO").write_text(json.dumps({"urls": [url], "dataset_names": ["fashion_mnist"]}))
    prepared = load_source("fashion_mnist", str(prepared_in))
    assert (prepared_in / "fashion_mnist").is_dir(), "TensorFlow Datasets has prepared nothing"
    local = load_source("fashion_mnist", str(files))
    # Its order is its own; the images and their labels are the same.
    for split in ("train", "test"):
        pairs = []
        for source in (prepared, local):
            images, labels = getattr(source, f"x_{split}"), getattr(source, f"y_{split}")
            pairs.append(sorted(zip((image.tobytes() for image in images), labels, strict=True)))
        assert pairs[0] == pairs[1]


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_idx_files_of_any_folder_are_read(tmp_path, name):
    data = write_idx_files(tmp_path)
    source = load_source(name, str(tmp_path))
    np.testing.assert_array_equal(source.x_test[..., 0], data["x_test"])
    np.testing.assert_array_equal(source.y_train, data["y_train"])


@pytest.mark.parametrize("as_file", [False, True])
def test_npz_is_found_in_its_folder_or_named_itself(tmp_path, as_file):
    path = tmp_path / "cifar10.npz"
    data = arrays(channels=(3,))
    np.savez(path, **data)
    source = load_source("cifar10", str(path if as_file else tmp_path))
    np.testing.assert_array_equal(source.x_train, data["x_train"])
    assert source.channels == 3


def test_cifar100_uses_its_coarse_classes(tmp_path):
    data = arrays(classes=20, channels=(3,))
    fine = {f"y_fine_{split}": np.arange(len(data[f"y_{split}"])) for split in ("train", "test")}
    coarse = {f"y_coarse_{split}": data.pop(f"y_{split}") for split in ("train", "test")}
    np.savez(tmp_path / "cifar100.npz", **data, **fine, **coarse)
    np.testing.assert_array_equal(load_source("cifar100", str(tmp_path)).y_test, coarse["y_coarse_test"])


def test_cifar100_folders_of_fine_classes_become_coarse_ones(tmp_path):
    picture = picture_bytes(np.zeros((32, 32, 3), np.uint8))
    names = {"train/wolf/1.png": "large_carnivores", "train/apple/1.png": "fruit_and_vegetables"}
    write_pictures(tmp_path, dict.fromkeys([*names, "test/tank/1.png"], picture))
    source = load_source("cifar100", str(tmp_path))
    assert sorted(source.y_train) == sorted(COARSE_NAMES.index(name) for name in names.values())
    assert source.y_test.tolist() == [COARSE_NAMES.index("vehicles_2")]


def test_the_table_of_cifar100_is_complete_and_in_order():
    assert len(COARSE_OF_FINE) == 100
    assert len(COARSE_NAMES) == 20
    assert list(COARSE_NAMES) == sorted(COARSE_NAMES)


def test_cifar100_folders_of_unknown_classes_are_refused(tmp_path):
    picture = picture_bytes(np.zeros((32, 32, 3), np.uint8))
    write_pictures(tmp_path, {"train/unicorn/1.png": picture, "test/wolf/1.png": picture})
    with pytest.raises(RunError, match="'unicorn' is not a class"):
        load_source("cifar100", str(tmp_path))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"x_train": np.zeros((20, 6, 6), np.float32)}, "x_train is float32"),
        ({"x_test": np.zeros((10, 6, 6, 3), np.uint8)}, r"x_test is uint8 \(10, 6, 6, 3\); mnist is uint8 .*, 1\)"),
        ({"y_train": np.full(20, 10)}, "classes from 0 to 9"),
        ({"y_train": np.full(20, 0.5)}, "classes from 0 to 9"),
        ({"y_test": np.zeros(3, int)}, "10 images but 3 labels"),
        ({"y_test": None}, "without y_test"),
    ],
)
def test_arrays_of_the_wrong_form_are_refused(tmp_path, change, complaint):
    data = {key: value for key, value in {**arrays(), **change}.items() if value is not None}
    np.savez(tmp_path / "mnist.npz", **data)
    with pytest.raises(RunError, match=complaint):
        load_source("mnist", str(tmp_path))


def test_a_missing_data_dir_is_a_usage_error():
    with pytest.raises(UsageError, match="--data_dir=/nowhere does not exist"):
        load_source("mnist", "/nowhere")


def test_an_unknown_data_set_is_a_usage_error():
    with pytest.raises(UsageError, match=r"imagenet.*digits"):
        load_source("imagenet")


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_data_that_is_nowhere_is_one_sentence_with_three_ways_out(monkeypatch, name):
    def no_network(*_, **__):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(tfds, "builder", no_network)
    with pytest.raises(RunError, match=rf"{name} is not on this machine.*\(1\).*\(2\).*\(3\)"):
        load_source(name)


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_a_folder_without_the_data_is_refused_and_not_filled(tmp_path, name):
    (tmp_path / f"{name}.txt").write_text("notes")
    with pytest.raises(UsageError, match=rf"holds no {name}"):
        load_source(name, str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.txt"]


def test_one_data_set_is_not_taken_for_another(tmp_path):
    write_idx_files(tmp_path)
    with pytest.raises(RunError, match=r"cifar10 is uint8 \(images, height, width, 3\)"):
        load_source("cifar10", str(tmp_path))


def test_a_tar_of_the_data_set_is_found_by_its_name(tmp_path):
    grey = picture_bytes(np.zeros((28, 28), np.uint8))
    write_pictures(tmp_path / "source", dict.fromkeys(["train/0/1.png", "train/1/1.png", "test/1/1.png"], grey))
    with tarfile.open(tmp_path / "mnist.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "source", "images")
    source = load_source("mnist", str(tmp_path))
    assert source.y_train.tolist() == [0, 1]
    assert source.origin == str(tmp_path)


def test_a_set_without_its_arrays_holds_no_image_and_all_else():
    source = sources.Source("npz", **arrays(channels=(3,)), origin="here", class_names=("a", "b"))
    without = source.without_arrays()
    assert (len(without.x_train), len(without.x_test), without.x_val) == (0, 0, None)
    assert without.x_train.base is None
    assert without.channels == 3
    np.testing.assert_array_equal(without.y_test, source.y_test)
