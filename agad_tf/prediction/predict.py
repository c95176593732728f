"""`--mode=predict`: scores pictures as they come, and says which are abnormal and where."""

import csv
import glob
import io
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import tensorflow as tf
from matplotlib.figure import Figure
from PIL import Image
from tqdm import tqdm

from agad_tf.config.experiment import ExperimentConfig, RunError, UsageError
from agad_tf.data.images_in_files import FILES_PER_CALL, decode_files, pictures_below, read_picture
from agad_tf.data.readers import limit_pixels
from agad_tf.data.training_batches import BATCHES_AHEAD, UNTUNED
from agad_tf.evaluation.localization import at_size, smoothed_error_maps
from agad_tf.evaluation.measurement import decision_of
from agad_tf.evaluation.results import read_results, write_whole
from agad_tf.evaluation.thresholds import Decision
from agad_tf.files.workdir import Workdir
from agad_tf.training.run import restore

SCORES, UNREADABLE, SUMMARY, DETECTOR = "scores.csv", "unreadable.csv", "summary.json", "detector.json"
MAPS, SCALE = "maps", "colour_scale.png"
COLUMNS = ("path", "score", "probability", "is_anomaly")
COLOUR_MAP = "inferno"
# How much the brightest colour covers of the picture below it; where there is no error, the picture shows.
OPACITY = 0.85


def predict(config: ExperimentConfig, pattern: str, output: str = "", save_maps: bool = False) -> None:
    """Scores pictures with the detector of a finished run; goes on where an earlier call was interrupted.

    Args:
        config: of the run.
        pattern: a picture, a folder of them, a glob pattern, or a CSV with the column path.
        output: folder for scores.csv (a row a picture, written as it goes), unreadable.csv, summary.json and maps/;
            empty means predictions/ in the run's folder.
        save_maps: whether to write every picture with its error map laid over it, in colours that mean the same for
            all pictures.

    Raises:
        UsageError: no pictures, or an output folder that holds scores of another detector.
        RunError: the run is not finished or damaged.
    """
    limit_pixels(config.max_megapixels)
    workdir = Workdir(config.folder)
    results = read_results(workdir.results)
    paths = find_pictures(pattern)
    folder = Path(output) if output else workdir.root / "predictions"
    decision = decision_of(results)
    _require_same_detector(folder, workdir, decision)
    done = _rows_of(folder / SCORES) | _rows_of(folder / UNREADABLE)
    left = [path for path in paths if path not in done]
    if len(left) < len(paths):
        print(f"{len(paths) - len(left)} of {len(paths)} pictures are done already, in {folder}.")
    began = time.monotonic()
    maps = _Maps(folder / MAPS, _common_folder(paths), results["error_map_scale"]) if save_maps else None
    with (
        _Table(folder / SCORES, COLUMNS) as scores,
        _Table(folder / UNREADABLE, ("path", "complaint")) as unreadable,
        tqdm(total=len(left), desc="scoring", unit=" pictures", smoothing=0.1) as bar,
    ):
        for files, complaints, found, errors in _scored(config, results["channels"], left, bool(maps)):
            readable = np.array([not complaint for complaint in complaints])
            if maps:
                maps.write(files[readable], errors[readable], results["channels"])
            judged = zip(files[readable], found[readable], strict=True)
            scores.write(
                [path, float(score), f"{decision.probability(score):.6f}", int(score >= decision.threshold)]
                for path, score in judged
            )
            unreadable.write((path, complaint) for path, complaint in zip(files, complaints, strict=True) if complaint)
            bar.update(len(files))
    _summarize(folder, len(left), time.monotonic() - began)


def find_pictures(pattern: str) -> list[str]:
    """Lists the pictures that a file, a folder, a glob pattern or a CSV names, each once.

    Args:
        pattern: as above. Of a folder all files below it count that have the name of a picture; paths in a CSV are
            relative to it.

    Returns:
        Their paths, in order.

    Raises:
        UsageError: there are none.
        RunError: the CSV cannot be read.
    """
    path = Path(pattern)
    if path.is_dir():
        paths = [str(file) for file in pictures_below(path)]
    elif path.is_file() and path.suffix.lower() == ".csv":
        try:
            listed = pd.read_csv(path, dtype=str, keep_default_na=False)
        except (OSError, ValueError) as error:
            raise RunError(f"{path} cannot be read as a CSV ({str(error).strip()}); mend it.") from error
        if "path" not in listed:
            raise UsageError(f"{path} has no column path, only {', '.join(listed.columns)}.")
        paths = [str(path.parent / name) for name in listed["path"]]
    elif path.is_file():
        paths = [pattern]
    else:
        paths = [file for file in sorted(glob.glob(pattern, recursive=True)) if Path(file).is_file()]  # noqa: PTH207
    if not paths:
        raise UsageError(f"--input={pattern} names no pictures; give a file, a folder, a pattern in quotes or a CSV.")
    return list(dict.fromkeys(paths))


def _scored(
    config: ExperimentConfig, channels: int, paths: list[str], with_errors: bool
) -> Iterator[tuple[np.ndarray, list[str], np.ndarray, np.ndarray]]:
    """Decodes the next pictures while the network scores.

    Yields:
        For every batch: paths, str (batch,); what is wrong with each file, or nothing; scores, float32 (batch,); and
        smoothed error maps, float32 (batch, image_size, image_size), or empty ones.
    """
    model, size = restore(config), config.image_size
    score = tf.function(model.reconstruct_and_score, reduce_retracing=True)

    def decode(files: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        decoded = decode_files(np.array([os.fsdecode(file) for file in files]), channels, size)
        return decoded.inputs, np.array([os.fsencode(complaint) for complaint in decoded.complaints], object)

    def read(files: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        inputs, complaints = tf.numpy_function(decode, [files], (tf.float32, tf.string))
        return files, tf.ensure_shape(inputs, (None, size, size, channels)), tf.ensure_shape(complaints, (None,))

    batches = (
        tf.data.Dataset.from_tensor_slices([os.fsencode(path) for path in paths])
        .batch(FILES_PER_CALL)
        .map(read, num_parallel_calls=tf.data.AUTOTUNE)
        .rebatch(config.batch_size)
        .prefetch(BATCHES_AHEAD)
        .with_options(UNTUNED)
    )
    for files, inputs, complaints in batches if paths else ():
        reconstruction, scores = score(inputs)
        errors = smoothed_error_maps(inputs.numpy(), reconstruction.numpy()) if with_errors else np.empty(len(files))
        names = np.array([os.fsdecode(file) for file in files.numpy()], object)
        yield names, [os.fsdecode(text) for text in complaints.numpy()], scores.numpy(), errors


class _Table:
    """A CSV that is written as it goes; a row cut short by a kill is taken away when it is opened again."""

    def __init__(self, path: Path, columns: tuple[str, ...]):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.columns = path, columns

    def __enter__(self) -> "_Table":
        whole = _whole_lines(self.path)
        self.file = self.path.open("r+b" if self.path.exists() else "w+b")
        self.file.truncate(len(whole))
        self.file.seek(len(whole))
        if not whole:
            self.write([self.columns])
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write(self, rows: Any) -> None:
        """Appends rows, all of them or, on a kill, whole ones."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        # Names of files need not be UTF-8.
        self.file.write(os.fsencode(text.getvalue()))
        self.file.flush()


def _whole_lines(path: Path) -> bytes:
    data = path.read_bytes() if path.exists() else b""
    return data[: data.rfind(b"\n") + 1]


def _rows_of(path: Path) -> set[str]:
    """First column of a table, without its title."""
    rows = csv.reader(io.StringIO(os.fsdecode(_whole_lines(path))))
    return {row[0] for row in list(rows)[1:] if row}


def _require_same_detector(folder: Path, workdir: Workdir, decision: Decision) -> None:
    """One folder holds the scores of one detector."""
    detector = {"workdir": str(workdir.root.resolve()), **decision._asdict()}
    text = json.dumps(detector, indent=2) + "\n"
    path = folder / DETECTOR
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise UsageError(f"{folder} holds scores of another detector or threshold; give another --output.")
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda file: file.write(text))


def _common_folder(paths: list[str]) -> Path:
    parents = {Path(path).parent for path in paths}
    shortest = min(parents, key=lambda parent: len(parent.parts))
    return next(root for root in (shortest, *shortest.parents) if all(p.is_relative_to(root) for p in parents))


class _Maps:
    """Pictures with their error maps laid over them.

    Args:
        folder: to write to; pictures lie in it as they do below `root`.
        root: folder that all pictures are below.
        scale: error that has the brightest colour.
    """

    def __init__(self, folder: Path, root: Path, scale: float):
        self.folder, self.root, self.scale = folder, root, scale
        self.colours = mpl.colormaps[COLOUR_MAP]
        folder.mkdir(parents=True, exist_ok=True)
        self._write_scale()

    def write(self, files: np.ndarray, errors: np.ndarray, channels: int) -> None:
        """Writes the overlays of a batch."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(partial(self._overlay, channels), files, errors))

    def _overlay(self, channels: int, path: str, error_map: np.ndarray) -> None:
        picture = read_picture(path, channels)
        shares = np.clip(at_size(error_map, *picture.shape[:2]) / self.scale, 0, 1)
        cover = OPACITY * shares[..., np.newaxis]
        overlay = np.round((1 - cover) * picture + cover * self.colours(shares, bytes=True)[..., :3]).astype(np.uint8)
        target = self.folder / Path(path).relative_to(self.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(overlay).save(target.with_name(target.name + ".png"))

    def _write_scale(self) -> None:
        figure = Figure(figsize=(5, 0.8), layout="constrained")
        colours = mpl.cm.ScalarMappable(mpl.colors.Normalize(0, self.scale), self.colours)
        figure.colorbar(colours, figure.add_subplot(), orientation="horizontal", label="error, of 255")
        figure.savefig(self.folder.parent / SCALE, dpi=120)


def _summarize(folder: Path, count: int, seconds: float) -> None:
    """Counts over all calls; seconds and rate of this one."""
    columns = ["path", "score", "is_anomaly"]
    scores = pd.read_csv(folder / SCORES, usecols=columns, encoding_errors="backslashreplace")
    summary = {
        "scored": len(scores),
        "anomalies": int(scores["is_anomaly"].sum()),
        "unreadable": len(_rows_of(folder / UNREADABLE)),
        "seconds": round(seconds, 1),
        "pictures_per_second": round(count / seconds, 1),
    }
    write_whole(folder / SUMMARY, lambda file: file.write(json.dumps(summary, indent=2) + "\n"))
    print(f"{summary['scored']} pictures scored, {summary['anomalies']} of them flagged; see {folder / SCORES}.")
    if summary["unreadable"]:
        print(f"{summary['unreadable']} files cannot be read as pictures; see {folder / UNREADABLE}.")
    for _, row in scores.nlargest(3, "score").iterrows():
        print(f"  {row['score']:.4g}  {row['path']}")
