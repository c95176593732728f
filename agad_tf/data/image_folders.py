"""Users' own images in folders: parts, classes and masks by each layout."""

import shlex
from collections import Counter
from pathlib import Path

import pandas as pd

from agad_tf.config.errors import UsageError
from agad_tf.data.images_in_files import pictures_below
from agad_tf.data.masks import masks_of
from agad_tf.data.set_names import LAYOUTS, MASK_FOLDERS, NORMAL_NAMES, ONLY_CLASS, SPLITS

_COLUMNS = ("file", "name", "label", "split", "mask")
_Row = tuple[str, str, str, str, tuple[str, ...]]


def list_folder(root: Path) -> tuple[pd.DataFrame, str]:
    """The images of a folder.

    Args:
        root: the folder.

    Returns:
        A row for each, with its file, name, label, split and masks, and a note for the user about how they were read.

    Raises:
        UsageError: their layout is not known.
    """
    root, mask_root = _images_and_masks(root)
    inside_root = [file.relative_to(root) for file in pictures_below(root)]
    inside_root = [inside for inside in inside_root if not _is_mask(root, mask_root, inside)]
    if not inside_root:
        raise UsageError(f"There are no images in {root}{_other_files(root)}; arrange them as {LAYOUTS}.")
    _require_one_set(root)
    if all(len(inside.parts) == 1 for inside in inside_root):
        rows: list[_Row] = [(str(root / inside), inside.as_posix(), ONLY_CLASS, "", ()) for inside in inside_root]
        note = f"{root} has no class folders: all {len(rows)} images count as normal (class {ONLY_CLASS})."
        return _table(rows), note
    splits = [_split_of(root, inside) for inside in inside_root] if _is_divided(root) else [""] * len(inside_root)
    depth = 1 if any(splits) else 0
    loose, note = _class_of_loose(root, inside_root, splits)
    rows = []
    below = []
    for inside, split in zip(inside_root, splits, strict=True):
        in_class = inside.parts[depth:]
        if len(in_class) < 2 and split not in loose:
            raise UsageError(
                f"{root / inside} has no class folder, but other images of {root / '/'.join(inside.parts[:depth])} "
                f"have one; arrange images as {LAYOUTS}."
            )
        label = in_class[0] if len(in_class) > 1 else loose[split]
        rows.append((str(root / inside), inside.as_posix(), label, split, ()))
        below.append(Path(*in_class) if len(in_class) > 1 else Path(label, *in_class))
    if mask_root:
        # If a mask may belong to a test image, images of other parts are not considered.
        tested, trained = (
            [path for path, split in zip(below, splits, strict=True) if split in parts]
            for parts in (("", "test"), ("train",))
        )
        masks = {"train": masks_of(mask_root, trained, tested), "val": {}}
        of_test = masks_of(mask_root, tested)
        rows = [
            (*row[:-1], tuple(map(str, masks.get(row[3], of_test).get(path, ()))))
            for row, path in zip(rows, below, strict=True)
        ]
    table = _table(rows)
    table.attrs["has_masks"] = mask_root is not None
    return table, note


def _table(rows: list[_Row]) -> pd.DataFrame:
    # As objects, because pandas' default type for text cannot hold names that are not UTF-8.
    return pd.DataFrame(rows, columns=list(_COLUMNS), dtype=object)


def _folder_in(root: Path, names: tuple[str, ...]) -> Path | None:
    """The folder with one of these names, in upper or lower case."""
    return next((folder for folder in _folders(root) if folder.name.lower() in names), None)


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _images_and_masks(root: Path) -> tuple[Path, Path | None]:
    """Where classes or parts lie, and where masks do: as in VisA, images and masks may each have a folder."""
    for folder in (root, _folder_in(root, ("data",))):
        images = _folder_in(folder, ("images",)) if folder else None
        masks = _folder_in(folder, ("masks",)) if folder else None
        if images and masks:
            return images, masks
    return root, _folder_in(root, MASK_FOLDERS)


def _is_mask(root: Path, mask_root: Path | None, inside: Path) -> bool:
    return mask_root is not None and (root / inside).is_relative_to(mask_root)


def _is_divided(root: Path) -> bool:
    """Whether folders are parts of the set; `valid` beside `invalid` is a class."""
    return any(SPLITS.get(folder.name.lower()) in ("train", "test") for folder in _folders(root))


def _split_of(root: Path, inside: Path) -> str:
    first = inside.parts[0]
    if len(inside.parts) == 1 or first.lower() not in SPLITS:
        parts = ", ".join(folder.name for folder in _folders(root) if folder.name.lower() in SPLITS)
        raise UsageError(
            f"{root / inside} belongs to no part of the set: {root / first} is not one of {parts}. Move its images "
            "into one of these, or elsewhere."
        )
    return SPLITS[first.lower()]


def _class_of_loose(root: Path, inside_root: list[Path], splits: list[str]) -> tuple[dict[str, str], str]:
    """The class of images directly in a part without class folders, and a note for the user."""
    loose = Counter(
        split for inside, split in zip(inside_root, splits, strict=True) if split and len(inside.parts) == 2
    )
    classes = {inside.parts[1] for inside in inside_root if len(inside.parts) > 2}
    whole = {split: count for split, count in loose.items() if splits.count(split) == count}
    if not whole:
        return {}, ""
    if "test" in whole:
        raise UsageError(
            f"{whole['test']} images of the test part of {root} have no class folder, so it is unknown which of them "
            "are normal; put them into good/ and one folder for each defect."
        )
    normal = sorted(name for name in classes if name.lower() in NORMAL_NAMES)
    label = normal[0] if len(normal) == 1 else ONLY_CLASS
    note = " and ".join(f"{count} images directly in the {split} part" for split, count in whole.items())
    return dict.fromkeys(whole, label), f"{root} has {note}: they count as normal (class {label})."


def _require_one_set(root: Path) -> None:
    """Refuses a folder with several sets: they would be taken for classes, and their defects for normal images."""
    folders = [folder for folder in _folders(root) if folder.name.lower() not in MASK_FOLDERS]
    if _is_divided(root) or any(folder.name.lower() in NORMAL_NAMES for folder in folders):
        return
    sets = _sets_in(folders, levels=3)
    if not sets:
        return
    what = ", ".join(str(folder.relative_to(root)) for folder in sets)
    kind = "one set of images, in" if len(sets) == 1 else f"{len(sets)} sets of images, not one:"
    raise UsageError(
        f"{root} holds {kind} {what}; name it with --data_dir={shlex.quote(str(sets[0]))}"
        f"{'' if len(sets) == 1 else ', or another of them'}."
    )


def _sets_in(folders: list[Path], levels: int) -> list[Path]:
    """The sets among folders, or else among the folders in them, and so on; empty where none is on any level."""
    if not folders or not levels:
        return []
    below = [folder for each in folders for folder in _folders(each)]
    return [folder for folder in folders if _is_set(folder)] or _sets_in(below, levels - 1)


def _is_set(folder: Path) -> bool:
    names = {each.name.lower() for each in _folders(folder)}
    is_layout = bool(names & {*NORMAL_NAMES, *MASK_FOLDERS}) or any(
        SPLITS.get(name) in ("train", "test") for name in names
    )
    images, masks = _images_and_masks(folder)
    return is_layout or (images != folder and masks is not None)


def _other_files(root: Path) -> str:
    """The other files there, by their extensions."""
    endings = Counter(path.suffix.lower() for path in root.rglob("*") if path.is_file() and path.suffix)
    found = ", ".join(f"{count} {ending}" for ending, count in endings.most_common(3))
    return f" that can be read (there are {found} files)" if found else ""
