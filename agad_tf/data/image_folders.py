"""Users' own images in folders: what each layout says of parts, classes and masks."""

from pathlib import Path

import pandas as pd

from agad_tf.config.errors import UsageError
from agad_tf.data.images_in_files import pictures_below
from agad_tf.data.set_names import LAYOUTS, MASK_FOLDER, ONLY_CLASS, SPLITS


def list_folder(root: Path) -> tuple[pd.DataFrame, str]:
    """The images of a folder, a row for each, and what to tell the user of how they were read."""
    rows, note = [], ""
    divided = any(folder.name.lower() in SPLITS and folder.is_dir() for folder in root.iterdir())
    inside_root = [file.relative_to(root) for file in pictures_below(root)]
    inside_root = [inside for inside in inside_root if inside.parts[0] != MASK_FOLDER]
    if inside_root and all(len(inside.parts) == 1 for inside in inside_root):
        rows = [(str(root / inside), inside.as_posix(), ONLY_CLASS, "", "") for inside in inside_root]
        note = f"{root} has no class folders: all {len(rows)} images count as normal, as class {ONLY_CLASS}."
        inside_root = []
    for inside in inside_root:
        file = root / inside
        split = SPLITS.get(inside.parts[0].lower(), "") if divided else ""
        depth = 1 if split else 0
        if len(inside.parts) < depth + 2 or (divided and not split):
            raise UsageError(f"{file} lies in no class; put pictures as {LAYOUTS}.")
        label = inside.parts[depth]
        rows.append((str(file), inside.as_posix(), label, split, _mask_of(root, label, file)))
    if not rows:
        raise UsageError(f"There are no pictures in {root}; put them as {LAYOUTS}.")
    # As objects: what pandas makes of text by default cannot hold names that are not UTF-8.
    return pd.DataFrame(rows, columns=["file", "name", "label", "split", "mask"], dtype=object), note


def _mask_of(root: Path, label: str, file: Path) -> str:
    candidates = (root / MASK_FOLDER / label / f"{file.stem}{end}" for end in ("_mask.png", ".png"))
    return next((str(mask) for mask in candidates if mask.is_file()), "")
