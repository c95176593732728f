"""Data sets: each name of `--dataset` is a row of `SOURCES`."""

import dataclasses
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agad_tf.config.choices import CLASS_COUNTS, OWN_SETS
from agad_tf.config.errors import RunError, UsageError
from agad_tf.config.options import Unsaid
from agad_tf.data.array_files import read_own_npz
from agad_tf.data.cifar100_classes import COARSE_NAMES, COARSE_OF_FINE
from agad_tf.data.images_in_files import Images
from agad_tf.data.pixel_range import FULL_RANGE, PixelRange
from agad_tf.data.preprocessing import ImageSize
from agad_tf.data.readers import Arrays, read_idx_folder, read_npz, read_pictures
from agad_tf.data.set_names import NORMAL_NAMES
from agad_tf.data.user_sets import read_own_pictures

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
DIGITS_TEST_FRACTION = 0.2
# The split of the digits is fixed like that of the other sets, and does not depend on --seed.
DIGITS_SPLIT_SEED = 0


@dataclasses.dataclass(frozen=True)
class Source:
    """A labelled set of images, with its published or user-defined parts.

    Attributes:
        name: that of `--dataset`.
        x_train: uint8 (images, height, width, channels), in memory or in files.
        y_train: int (images,), the class of each.
        x_test: uint8, as x_train.
        y_test: int, as y_train.
        origin: the file or folder it was read from, or the package it came with.
        class_names: of the classes in the order of their numbers; empty if they have no names.
        x_val: validation images, if the set has a validation part.
        y_val: int, as y_train.
        test_names: of the test images, if they have names.
        test_masks: files that show where test images are abnormal, by position in the test set; one or several.
        train_masks: the same for training images.
        has_masks: whether the set has any masks, also of images in other parts.
        pixel_range: black and white for values of more than 8 bits.
        left_out: files that could not be read, with what is wrong with each.
        image_size: height and width in pixels that the images are resized to, see `agad_tf.data.image_size`.
        note: a sentence for the user about how the set was read; may be empty.
    """

    name: str
    x_train: Images
    y_train: np.ndarray
    x_test: Images
    y_test: np.ndarray
    origin: str
    class_names: tuple[str, ...] = ()
    x_val: Images | None = None
    y_val: np.ndarray | None = None
    test_names: tuple[str, ...] = ()
    test_masks: Mapping[int, tuple[Path, ...]] = dataclasses.field(default_factory=dict)
    train_masks: Mapping[int, tuple[Path, ...]] = dataclasses.field(default_factory=dict)
    has_masks: bool = False
    pixel_range: PixelRange = FULL_RANGE
    left_out: Mapping[str, str] = dataclasses.field(default_factory=dict)
    image_size: tuple[int, int] = (32, 32)
    note: str = ""

    @property
    def channels(self) -> int:
        """1 for grey, 3 for RGB."""
        return self.x_train.shape[-1]

    def without_arrays(self) -> "Source":
        """The same set without the images that are in memory; those in files take none."""
        arrays = {name: getattr(self, name) for name in ("x_train", "x_test", "x_val")}
        empty: dict[str, Any] = {
            name: np.empty_like(each[:0]) for name, each in arrays.items() if isinstance(each, np.ndarray)
        }
        return dataclasses.replace(self, **empty)

    def class_name(self, number: int) -> str:
        """The name of a class, or its number if it has no name."""
        return self.class_names[number] if self.class_names else str(number)

    def class_number(self, name: int | str) -> int:
        """The number of a class that is given by its name or its number.

        Raises:
            UsageError: there is no such class; or it was not given, and no class has a name like "normal".
        """
        known = self.class_names or tuple(str(number) for number in np.unique(self.y_train))
        if self.name == "folder" and isinstance(name, Unsaid):
            normal = [each for each in known if each.lower() in NORMAL_NAMES]
            if len(normal) != 1:
                raise UsageError(self._which_is_normal(known))
            return known.index(normal[0])
        if str(name) in self.class_names:
            return self.class_names.index(str(name))
        if self.name == "folder" and name == 0 and known[0].lower() not in NORMAL_NAMES:
            raise UsageError(self._which_is_normal(known))
        if isinstance(name, str) or not 0 <= name <= max(self.y_train.max(), self.y_test.max()):
            raise UsageError(f"{self.origin} has no class '{name}'; choose one of {', '.join(known)}.")
        return name

    def _which_is_normal(self, known: Sequence[str]) -> str:
        if len(known) == 1:
            return (
                f"Which class is normal? All images of {self.origin} are of class '{known[0]}'; if they are "
                f"normal, add --normal_class={shlex.quote(known[0])} to the command."
            )
        return f"Which class of {self.origin} is normal? Add --normal_class to the command, one of {', '.join(known)}."


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """Where to find a published benchmark set, and how its labels are named.

    Attributes:
        channels: 1 for grey, 3 for RGB.
        label: the label's name in TensorFlow Datasets.
        npz_labels: names of the labels in an `.npz`, before `_train` and `_test`, the first one that is there.
        folders: places that are searched by default.
        names: of the classes in the order of their numbers, for images in folders; if empty, the classes are the
            folders in alphabetical order.
        alias: class name by folder name, if folders are finer than classes.
    """

    channels: int
    label: str = "label"
    npz_labels: tuple[str, ...] = ("y",)
    folders: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    alias: dict[str, str] = dataclasses.field(default_factory=dict)


BENCHMARKS = {
    # Debian's package dataset-fashion-mnist installs the four IDX files here.
    "fashion_mnist": Benchmark(channels=1, folders=("/usr/share/datasets/fashion-mnist",)),
    "mnist": Benchmark(channels=1),
    "cifar10": Benchmark(channels=3),
    "cifar100": Benchmark(
        channels=3,
        label="coarse_label",
        npz_labels=("y_coarse", "y"),
        names=COARSE_NAMES,
        alias=COARSE_OF_FINE,
    ),
}


def load_source(name: str, data_dir: str = "", image_size: ImageSize = 32, normal_class: int | str = 0) -> Source:
    """Loads a data set: from `data_dir`, otherwise from a local copy, otherwise with TensorFlow Datasets.

    Args:
        name: one of `SOURCES`.
        data_dir: folder or file that holds it; empty searches the known places. A folder may hold IDX files,
            `<name>.npz`, a tar or folder of images, or data prepared by TensorFlow Datasets. For "folder" and "npz" it
            is the set itself.
        image_size: side in pixels that images in files of different sizes are resized to.
        normal_class: the class that will be normal, by number or name: needed to divide a set of files without parts.

    Returns:
        The images and their classes.

    Raises:
        UsageError: an unknown name, or a `data_dir` that does not exist.
        RunError: the data cannot be obtained, or is damaged.
    """
    if name not in SOURCES:
        raise UsageError(f"Unknown data set '{name}'; choose one of {', '.join(SOURCES)}.")
    return SOURCES[name](name, data_dir, image_size, normal_class)


def _own(name: str, data_dir: str, image_size: ImageSize, normal_class: int | str) -> Source:
    path = Path(data_dir)
    if not path.exists():
        raise UsageError(f"--data_dir={data_dir} does not exist; name the folder or file that holds your images.")
    fields = read_own_npz(path) if name == "npz" else read_own_pictures(path, image_size, normal_class)
    return Source(name=name, origin=data_dir, **fields)


def _digits(name: str, *_: object) -> Source:
    from sklearn.datasets import load_digits  # noqa: PLC0415
    from sklearn.model_selection import train_test_split  # noqa: PLC0415

    images, labels = load_digits(return_X_y=True)
    pixels = np.round(images.reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    x_train, x_test, y_train, y_test = train_test_split(
        pixels, labels, test_size=DIGITS_TEST_FRACTION, random_state=DIGITS_SPLIT_SEED, stratify=labels
    )
    return Source(name, x_train, y_train, x_test, y_test, "scikit-learn")


def _benchmark(name: str, data_dir: str, *_: object) -> Source:
    benchmark = BENCHMARKS[name]
    if data_dir and not Path(data_dir).exists():
        raise UsageError(f"--data_dir={data_dir} does not exist; name the folder or file that holds {name}.")
    places = [data_dir] if data_dir else benchmark.folders
    for place in places:
        for arrays in _local_copies(Path(place), name, benchmark):
            return _checked(name, arrays, benchmark, place)
    # A user's folder is not filled with downloads, unless TensorFlow Datasets has already used it.
    if data_dir and not any((Path(data_dir) / traces).is_dir() for traces in (name, "downloads")):
        raise UsageError(
            f"--data_dir={data_dir} holds no {name}: no {name}.npz, no set of four IDX files, no tar or folder of "
            "images as train/<class>/ and test/<class>/. For your own images add --flagfile=folder.cfg; for "
            f"{name} name another folder, or leave --data_dir out to search the known places."
        )
    arrays = _from_tensorflow_datasets(name, data_dir, benchmark)
    return _checked(name, arrays, benchmark, "TensorFlow Datasets")


def _local_copies(path: Path, name: str, benchmark: Benchmark) -> Iterator[Arrays]:
    """The possible forms of a local copy, in the order of search; each is read only when needed."""
    npz_paths = [path] if path.suffix == ".npz" else [path / f"{name}.npz"]
    for npz_path in npz_paths:
        if npz_path.is_file():
            yield _named_labels(read_npz(npz_path), benchmark)
    for folder in (path, path / name):
        arrays = read_idx_folder(folder)
        if arrays:
            yield arrays
    tars = [path] if path.is_file() else [path / f"{name}{suffix}" for suffix in TAR_SUFFIXES]
    for picture_path in (*(tar for tar in tars if tar.is_file()), path / name, path):
        found = read_pictures(picture_path) if picture_path.exists() else None
        if found:
            yield _numbered_classes(*found, benchmark)


def _named_labels(arrays: Arrays, benchmark: Benchmark) -> Arrays:
    for key in benchmark.npz_labels:
        if f"{key}_train" in arrays and f"{key}_test" in arrays:
            return {**arrays, "y_train": arrays[f"{key}_train"], "y_test": arrays[f"{key}_test"]}
    return arrays


def _numbered_classes(arrays: Arrays, folder_names: list[str], benchmark: Benchmark) -> Arrays:
    """Converts positions in the alphabetical list of folders to the data set's class numbers."""
    if not benchmark.names:
        return arrays
    class_names = [benchmark.alias.get(folder_name, folder_name) for folder_name in folder_names]
    unknown = sorted(set(class_names) - set(benchmark.names))
    if unknown:
        raise RunError(f"Folder '{unknown[0]}' is not a class of this data set; its classes are {benchmark.names}.")
    numbers = np.array([benchmark.names.index(class_name) for class_name in class_names])
    return {**arrays, "y_train": numbers[arrays["y_train"]], "y_test": numbers[arrays["y_test"]]}


def _from_tensorflow_datasets(name: str, data_dir: str, benchmark: Benchmark) -> Arrays:
    import tensorflow_datasets as tfds  # noqa: PLC0415

    try:
        builder = tfds.builder(name, data_dir=data_dir or None)
        builder.download_and_prepare()
        arrays = {}
        for split in ("train", "test"):
            examples = tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1))
            arrays[f"x_{split}"], arrays[f"y_{split}"] = examples["image"], examples[benchmark.label]
    # TensorFlow Datasets raises various exceptions (no network, full disk, changed file), but the remedies are the
    # same.
    except Exception as error:
        package = (
            " (3) install Debian's package dataset-fashion-mnist"
            if name == "fashion_mnist"
            else (
                " (3) run once on a machine with a network and copy its tensorflow_datasets folder here, "
                "named with --data_dir"
            )
        )
        raise RunError(
            f"{name} is not on this machine, and TensorFlow Datasets could not fetch it ({type(error).__name__}). "
            "Three remedies: (1) connect the machine to a network and try again; (2) name a folder that holds "
            f"{name}.npz, its IDX files or its images with --data_dir;{package}."
        ) from error
    return arrays


def _checked(name: str, arrays: Arrays, benchmark: Benchmark, origin: str) -> Source:
    class_count = CLASS_COUNTS[name]
    missing = [key for key in ("x_train", "y_train", "x_test", "y_test") if key not in arrays]
    if missing:
        raise RunError(f"{origin} holds {name} without {', '.join(missing)}; it has {', '.join(arrays)}.")
    checked: dict[str, Any] = {}
    for split in ("train", "test"):
        images, labels = arrays[f"x_{split}"], arrays[f"y_{split}"].reshape(-1)
        if images.ndim == 3:
            images = images[..., np.newaxis]
        if images.ndim != 4 or images.dtype != np.uint8 or images.shape[-1] != benchmark.channels:
            raise RunError(
                f"{origin}: x_{split} is {images.dtype} {images.shape}; {name} is uint8 "
                f"(images, height, width, {benchmark.channels})."
            )
        if len(images) != len(labels):
            raise RunError(f"{origin}: {split} has {len(images)} images but {len(labels)} labels.")
        if not np.issubdtype(labels.dtype, np.integer) or not np.isin(labels, range(class_count)).all():
            raise RunError(f"{origin}: y_{split} must hold classes from 0 to {class_count - 1}.")
        checked[f"x_{split}"], checked[f"y_{split}"] = images, labels.astype(np.int64)
    return Source(name, **checked, origin=origin)


SOURCES: dict[str, Callable[[str, str, ImageSize, int | str], Source]] = {
    "digits": _digits,
    **dict.fromkeys(BENCHMARKS, _benchmark),
    **dict.fromkeys(OWN_SETS, _own),
}
