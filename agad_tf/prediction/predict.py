"""`--mode=predict`: scores pictures as they come, and says which are abnormal and where."""

import glob
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf
from tqdm import tqdm

from agad_tf.config.errors import RunError, UsageError
from agad_tf.config.experiment import ExperimentConfig
from agad_tf.data.images_in_files import FILES_PER_CALL, decode_files, pictures_below
from agad_tf.data.readers import limit_pixels
from agad_tf.data.scoring_batches import BATCHES_AHEAD, UNTUNED
from agad_tf.evaluation.localization import smoothed_error_maps
from agad_tf.evaluation.measurement import decision_of
from agad_tf.evaluation.results import read_results
from agad_tf.evaluation.thresholds import Decision
from agad_tf.files.whole_files import write_whole
from agad_tf.files.workdir import Workdir
from agad_tf.prediction.overlays import MAPS, Overlays, common_folder
from agad_tf.prediction.resumable_csv import ResumableCsv, first_column
from agad_tf.training.run import restore

SCORES, UNREADABLE, SUMMARY, DETECTOR = "scores.csv", "unreadable.csv", "summary.json", "detector.json"
COLUMNS = ("path", "score", "probability", "is_anomaly")


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
    done = first_column(folder / SCORES) | first_column(folder / UNREADABLE)
    left = [path for path in paths if path not in done]
    if len(left) < len(paths):
        print(f"{len(paths) - len(left)} of {len(paths)} pictures are done already, in {folder}.")
    began = time.monotonic()
    maps = Overlays(folder / MAPS, common_folder(paths), results["error_map_scale"]) if save_maps else None
    with (
        ResumableCsv(folder / SCORES, COLUMNS) as scores,
        ResumableCsv(folder / UNREADABLE, ("path", "complaint")) as unreadable,
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
        errors = smoothed_error_maps(inputs, reconstruction).numpy() if with_errors else np.empty(len(files))
        names = np.array([os.fsdecode(file) for file in files.numpy()], object)
        yield names, [os.fsdecode(text) for text in complaints.numpy()], scores.numpy(), errors


def _require_same_detector(folder: Path, workdir: Workdir, decision: Decision) -> None:
    """One folder holds the scores of one detector."""
    detector = {"workdir": str(workdir.root.resolve()), **decision._asdict()}
    text = json.dumps(detector, indent=2) + "\n"
    path = folder / DETECTOR
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise UsageError(f"{folder} holds scores of another detector or threshold; give another --output.")
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda file: file.write(text))


def _summarize(folder: Path, count: int, seconds: float) -> None:
    """Counts over all calls; seconds and rate of this one."""
    columns = ["path", "score", "is_anomaly"]
    scores = pd.read_csv(folder / SCORES, usecols=columns, encoding_errors="backslashreplace")
    summary = {
        "scored": len(scores),
        "anomalies": int(scores["is_anomaly"].sum()),
        "unreadable": len(first_column(folder / UNREADABLE)),
        "seconds": round(seconds, 1),
        "pictures_per_second": round(count / seconds, 1),
    }
    write_whole(folder / SUMMARY, lambda file: file.write(json.dumps(summary, indent=2) + "\n"))
    print(f"{summary['scored']} pictures scored, {summary['anomalies']} of them flagged; see {folder / SCORES}.")
    if summary["unreadable"]:
        print(f"{summary['unreadable']} files cannot be read as pictures; see {folder / UNREADABLE}.")
    for _, row in scores.nlargest(3, "score").iterrows():
        print(f"  {row['score']:.4g}  {row['path']}")
