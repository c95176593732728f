"""Users' own images in folders: parts, classes and masks by each layout."""

import shlex
from collections import Counter
from collections.abc import Mapping
from itertools import chain
from pathlib import Path

import pandas as pd

from agad_tf.config.errors import UsageError
from agad_tf.config.options import Unsaid
from agad_tf.data.images_in_files import pictures_below
from agad_tf.data.masks import masks_beside, masks_of
from agad_tf.data.set_names import LAYOUTS, MASK_FOLDERS, NORMAL_NAMES, ONLY_CLASS, SPLITS

_COLUMNS = ("file", "name", "label", "split", "mask")
# Formats of images that are not read.
_OTHER_FORMATS = (
    *(".heic", ".heif", ".avif", ".jxl", ".jp2", ".j2k", ".jfif", ".ppm", ".pgm", ".pbm", ".pnm", ".tga"),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".raw", ".dcm", ".psd", ".exr", ".fits"),
)


def list_folder(root: Path, normal_class: int | str = 0) -> tuple[pd.DataFrame, str]:
    """The images of a folder.

    Args:
        root: the folder.
        normal_class: the normal class by number or name; images without a class folder belong to it if others have one.

    Returns:
        A row for each, with its file, name, label, split and masks, and a note for the user about how they were read.

    Raises:
        UsageError: their layout is not known.
    """
    root, mask_roots = _images_and_masks(root)
    inside_root = [file.relative_to(root) for file in pictures_below(root)]
    inside_root = [inside for inside in inside_root if not any((root / inside).is_relative_to(at) for at in mask_roots)]
    beside = {} if mask_roots else masks_beside(inside_root)
    inside_root = sorted(set(inside_root) - set(beside.values()))
    if not inside_root:
        raise UsageError(
            f"There are no images in {root}{_other_files(root)}; put normal images into it, or arrange images as "
            f"{LAYOUTS}."
        )
    _require_one_set(root)
    notes = [_said_of_others(root)]
    if beside:
        notes.append(f"{root} has {len(beside)} masks beside images, such as {next(iter(beside.values()))}.")
    if all(len(inside.parts) == 1 for inside in inside_root):
        notes.append(
            f"{root} has no class folders: all {len(inside_root)} images count as normal (class {ONLY_CLASS})."
        )
        splits, labels, below = [""] * len(inside_root), [ONLY_CLASS] * len(inside_root), inside_root
    else:
        splits, labels, below, said = _parts_and_classes(root, inside_root, normal_class)
        notes.append(said)
    masks: dict[Path, tuple[Path, ...]] = {inside: (root / mask,) for inside, mask in beside.items()}
    if mask_roots:
        masks = _masks_in(mask_roots, inside_root, below, splits)
        notes.append(_said_of_unused(mask_roots, masks))
    rows = [
        (str(root / inside), inside.as_posix(), label, split, tuple(map(str, masks.get(inside, ()))))
        for inside, label, split in zip(inside_root, labels, splits, strict=True)
    ]
    # As objects, because pandas' default type for text cannot hold names that are not UTF-8.
    table = pd.DataFrame(rows, columns=list(_COLUMNS), dtype=object)
    table.attrs["has_masks"] = bool(mask_roots or beside)
    return table, " ".join(filter(None, notes))


def require_classes_right_below(root: Path, listed: pd.DataFrame, normal_class: int | str) -> None:
    """Refuses a folder whose classes are in a deeper folder, because its own folders would be taken for classes.

    Args:
        root: the folder.
        listed: its images, see `list_folder`.
        normal_class: the normal class by number or name.

    Raises:
        UsageError: a deeper folder has the normal class, or one folder of folders holds all images.
    """
    classes = sorted(set(listed["label"]))
    if any(listed["split"]):
        return
    if isinstance(normal_class, str) and normal_class not in classes:
        above = _above(normal_class, _folders(root), levels=3)
        if above:
            others = "" if len(above) == 1 else f", or one of {', '.join(map(str, above[1:]))}"
            raise UsageError(
                f"{root} has no class '{normal_class}', only {', '.join(classes)}; {above[0]} has that class: give "
                f"--data_dir={shlex.quote(str(above[0]))}{others}."
            )
    if len(classes) > 1 or not isinstance(normal_class, Unsaid) or classes[0].lower() in NORMAL_NAMES:
        return
    folder = root / classes[0]
    while len(inner := _folders(folder) if folder.is_dir() else []) == 1:
        folder = inner[0]
    if len(inner) > 1:
        names = ", ".join(each.name for each in inner)
        raise UsageError(
            f"All images of {root} are in {folder}, which holds {names}. If these are the classes, give "
            f"--data_dir={shlex.quote(str(folder))} and name the normal class with --normal_class. If all images are "
            f"normal, give --normal_class={shlex.quote(classes[0])}."
        )


def _above(name: str, folders: list[Path], levels: int) -> list[Path]:
    """The folders with a subfolder of this name, on the first level that has any."""
    if not folders or not levels:
        return []
    found = [folder for folder in folders if name in {inner.name for inner in _folders(folder)}]
    return found or _above(name, [below for folder in folders for below in _folders(folder)], levels - 1)


def _parts_and_classes(
    root: Path, inside_root: list[Path], normal_class: int | str
) -> tuple[list[str], list[str], list[Path], str]:
    """The part and the class of every image, its path below its part, and a note for the user."""
    is_divided = _is_divided(root)
    if not is_divided:
        _require_classes_first(root, inside_root)
    splits = [_split_of(root, inside) for inside in inside_root] if is_divided else [""] * len(inside_root)
    depth = 1 if is_divided else 0
    # A folder that holds all images of all parts is not a class if it contains classes.
    above = {inside.parts[1] for inside in inside_root if len(inside.parts) > 1}
    inner = {inside.parts[2].lower() for inside in inside_root if len(inside.parts) > 3}
    if is_divided and len(above) == 1 and inner & set(NORMAL_NAMES):
        depth = 2
    loose, note = _class_of_loose(root, inside_root, splits, normal_class)
    labels, below = [], []
    for inside, split in zip(inside_root, splits, strict=True):
        in_class = inside.parts[depth:]
        if len(in_class) < 2 and split not in loose:
            raise UsageError(
                f"{root / inside} has no class folder, but other images of {root / '/'.join(inside.parts[:depth])} "
                f"have one; arrange images as {LAYOUTS}."
            )
        labels.append(in_class[0] if len(in_class) > 1 else loose[split])
        below.append(Path(*in_class) if len(in_class) > 1 else Path(labels[-1], *in_class))
    return splits, labels, below, note


def _masks_in(
    mask_roots: list[Path], inside_root: list[Path], below: list[Path], splits: list[str]
) -> dict[Path, tuple[Path, ...]]:
    """The masks of each image."""
    masks: dict[Path, tuple[Path, ...]] = {}
    of_test, of_training = (
        {path: inside for inside, path, split in zip(inside_root, below, splits, strict=True) if split in parts}
        for parts in (("", "test"), ("train",))
    )
    for mask_root in mask_roots:
        # If a mask may belong to a test image, images of other parts are not considered.
        for images, before in ((of_training, list(of_test)), (of_test, [])):
            found = masks_of(mask_root, list(images), before)
            masks |= {images[path]: files for path, files in found.items()}
    return masks


def _said_of_unused(mask_roots: list[Path], masks: Mapping[Path, tuple[Path, ...]]) -> str:
    used = set(chain.from_iterable(masks.values()))
    unused = sorted({mask for mask_root in mask_roots for mask in pictures_below(mask_root)} - used)
    if not unused:
        return ""
    return (
        f"{len(unused)} masks in {mask_roots[0]} match no image or several images, such as {unused[0]}; name them "
        f"{mask_roots[0].name}/<class>/<image>_mask.png."
    )


def _said_of_others(root: Path) -> str:
    """A note about image files of unsupported formats, and about empty folders."""
    endings = Counter(path.suffix.lower() for path in root.rglob("*") if path.suffix.lower() in _OTHER_FORMATS)
    said = [f"{count} {ending} files of {root} are left out: save them as PNG." for ending, count in endings.items()]
    parts = [root] if not _is_divided(root) else [part for part in _folders(root) if part.name.lower() in SPLITS]
    empty = [folder for part in parts for folder in _folders(part) if not any(folder.iterdir())]
    return " ".join([*said, *(f"{folder} is empty." for folder in empty)])


def _require_classes_first(root: Path, inside_root: list[Path]) -> None:
    """Refuses parts inside classes, because they would be ignored and the images divided again."""
    inner = {inside.parts[1].lower() for inside in inside_root if len(inside.parts) > 2}
    if inner and {SPLITS.get(name) for name in inner} >= {"train", "test"}:
        first = next(inside for inside in inside_root if len(inside.parts) > 2)
        raise UsageError(
            f"{root} has parts inside classes, such as {Path(*first.parts[:2])}; put classes inside parts, as in "
            f"{Path(first.parts[1], first.parts[0])}."
        )


def _folder_in(root: Path, names: tuple[str, ...]) -> Path | None:
    """The folder with one of these names, in upper or lower case; None if there is none."""
    return next((folder for folder in _folders(root) if folder.name.lower() in names), None)


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _images_and_masks(root: Path) -> tuple[Path, list[Path]]:
    """The folder of classes or parts, and the folders of masks: as in VisA, images and masks may each have a folder."""
    for folder in (root, _folder_in(root, ("data",))):
        images = _folder_in(folder, ("images",)) if folder else None
        masks = _folder_in(folder, ("masks",)) if folder else None
        if images and masks:
            return images, [masks]
    # Masks may be in the part that they belong to, or have parts of their own.
    parts = [folder for folder in _folders(root) if folder.name.lower() in SPLITS] if _is_divided(root) else []
    found = [masks for folder in (root, *parts) if (masks := _folder_in(folder, MASK_FOLDERS))]
    of_parts = [part for masks in found for part in _folders(masks) if part.name.lower() in SPLITS]
    return root, [*found, *of_parts]


def _is_divided(root: Path) -> bool:
    """Whether folders are parts of the set; `valid` beside `invalid` is a class."""
    return any(SPLITS.get(folder.name.lower()) in ("train", "test") for folder in _folders(root))


def _split_of(root: Path, inside: Path) -> str:
    first = inside.parts[0]
    if len(inside.parts) == 1 or first.lower() not in SPLITS:
        parts = ", ".join(folder.name for folder in _folders(root) if folder.name.lower() in SPLITS)
        raise UsageError(
            f"{root / inside} belongs to no part of the set: {root / first} is not one of {parts}. Move its images "
            "into one of these, masks into ground_truth/, or all of it elsewhere."
        )
    return SPLITS[first.lower()]


def _class_of_loose(
    root: Path, inside_root: list[Path], splits: list[str], normal_class: int | str
) -> tuple[dict[str, str], str]:
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
    if str(normal_class) in classes:
        label = str(normal_class)
    note = " and ".join(f"{count} images directly in the {split} part" for split, count in whole.items())
    note = f"{root} has {note}: they count as normal (class {label})."
    if classes and label not in classes:
        others = ", ".join(sorted(classes))
        note += f" These classes count as abnormal: {others}. If one of them is normal, name it with --normal_class."
    return dict.fromkeys(whole, label), note


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
        f"{root} holds {kind} {what}; give --data_dir={shlex.quote(str(sets[0]))}"
        f"{'' if len(sets) == 1 else ', or another of them'}."
    )


def _sets_in(folders: list[Path], levels: int) -> list[Path]:
    """The sets on the first level of folders that has any; empty if there is none."""
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
    return is_layout or (images != folder and bool(masks))


def _other_files(root: Path) -> str:
    """A note about the other files in a folder, by extension."""
    endings = Counter(path.suffix.lower() for path in root.rglob("*") if path.is_file() and path.suffix)
    found = ", ".join(f"{count} {ending}" for ending, count in endings.most_common(3))
    return f" that can be read (there are {found} files)" if found else ""
