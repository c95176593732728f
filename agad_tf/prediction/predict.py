"""`--mode=predict`: scores new images, and shows which are abnormal and where."""

import hashlib
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from agad_tf.config.choices import PEAK
from agad_tf.config.errors import UsageError
from agad_tf.config.experiment import ExperimentConfig
from agad_tf.data.pixel_range import read_pixel_range
from agad_tf.data.readers import limit_pixels
from agad_tf.evaluation.results import decision_of, read_results
from agad_tf.files.own_output import MAPS, SCALE, SCORES, own_images
from agad_tf.files.workdir import Workdir
from agad_tf.models.agad import AGAD
from agad_tf.prediction.file_versions import version_of
from agad_tf.prediction.inputs import find_images
from agad_tf.prediction.output_folder import (
    COLUMNS,
    UNREADABLE,
    UNREADABLE_COLUMNS,
    claim_for_detector,
    files_done,
    write_summary,
)
from agad_tf.prediction.overlays import Overlays, common_folder
from agad_tf.prediction.resumable_csv import ResumableCsv, rows_of
from agad_tf.prediction.scoring import scored_batches
from agad_tf.training.restore import restore


def predict(config: ExperimentConfig, pattern: str, output: str = "", save_maps: bool = False) -> None:
    """Scores images with the detector of a finished run; continues where an earlier call was interrupted.

    Args:
        config: of the run.
        pattern: an image, a folder of them, a glob pattern, or a CSV with the column path.
        output: folder for scores.csv (a row for each image, written at once), unreadable.csv, summary.json and maps/;
            empty means predictions/ in the run's folder.
        save_maps: whether to write every image with its error map on top, in one scale of colours for all images.

    Raises:
        UsageError: no images, or an output folder that holds scores of another detector.
        RunError: the run is not finished or damaged.
    """
    # === Set-up ===
    limit_pixels(config.max_megapixels)
    workdir = Workdir(config.folder)
    results = read_results(workdir.results)
    decision = decision_of(results)
    pixel_range = read_pixel_range(workdir.pixel_range)
    folder = Path(output) if output else workdir.root / "predictions"
    paths = _without_own_output(find_images(pattern), pattern, folder)
    model = restore(config)
    claim_for_detector(folder, fingerprint(model), decision)
    # Before the files are read: the next call scores a file again if it is replaced meanwhile.
    versions = {path: version_of(path) for path in paths}
    done = files_done(folder, versions)
    left = [path for path in paths if path not in done]
    unit = "deviation from normal images" if results.get("score") == PEAK else "error, of 255"
    maps = None
    if save_maps:
        maps = Overlays(folder / MAPS, common_folder(paths), results["error_map_scale"], unit, pixel_range)
    if len(left) < len(paths):
        print(f"{len(paths) - len(left)} of {len(paths)} images have been scored before; their scores are in {folder}.")
    unreadable_before = {row["path"] for row in rows_of(folder / UNREADABLE)}
    scored = [path for path in paths if path in done and path not in unreadable_before]
    without_map = {path for path in scored if maps and not maps.has(path, versions[path])}
    if without_map:
        print(f"{len(without_map)} of them have no map yet; their maps are made now.")
        left = [path for path in paths if path not in done or path in without_map]

    # === Scoring ===
    began = time.monotonic()
    with (
        ResumableCsv(folder / SCORES, COLUMNS) as scores,
        ResumableCsv(folder / UNREADABLE, UNREADABLE_COLUMNS) as unreadable,
        tqdm(total=len(left), desc="scoring", unit=" images", smoothing=0.1, disable=None) as bar,
    ):
        for batch in scored_batches(model, left, config.batch_size, with_error_maps=save_maps, pixel_range=pixel_range):
            readable = np.array([not complaint for complaint in batch.complaints])
            # The map is written before the row, so that an image with a row also has a map.
            if maps:
                files = batch.files[readable]
                maps.write(files, [versions[path] for path in files], batch.error_maps[readable], results["channels"])
            scores.write(
                [
                    *(path, float(score), f"{decision.probability(score):.6f}", int(score >= decision.threshold)),
                    *(versions[path].bytes, versions[path].modified_ns),
                ]
                for path, score in zip(batch.files[readable], batch.scores[readable], strict=True)
                if path not in without_map
            )
            complaints = zip(batch.files, batch.complaints, strict=True)
            unreadable.write(
                (path, complaint, versions[path].bytes, versions[path].rights_changed_ns)
                for path, complaint in complaints
                if complaint
            )
            bar.update(len(batch.files))

    # === Summary ===
    write_summary(folder, len(left), time.monotonic() - began)


def fingerprint(model: AGAD) -> str:
    """A checksum of what a detector computes, independent of the folder of its run."""
    digest = hashlib.sha256(repr((type(model).__name__, model.generator.input_shape)).encode())
    for variable in model.scoring_variables:
        digest.update(np.ascontiguousarray(variable.numpy()).tobytes())
    return digest.hexdigest()


def _without_own_output(paths: list[str], pattern: str, folder: Path) -> list[str]:
    """Leaves out files that this or an earlier call has written.

    Raises:
        UsageError: no other files are left.
    """
    written = {folder.absolute(): frozenset({MAPS, SCALE})}

    def is_own(path: Path) -> bool:
        for above in path.parents:
            if above not in written:
                written[above] = own_images(above)
        return any(path.relative_to(above).parts[0] in written[above] for above in path.parents)

    left = [path for path in paths if not is_own(Path(path))]
    if not left:
        raise UsageError(f"--input={pattern} contains only maps that this command has written; name the images.")
    return left
