"""`--mode=predict`: scores images as they come, and says which are abnormal and where."""

import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from agad_tf.config.experiment import ExperimentConfig
from agad_tf.data.pixel_range import read_pixel_range
from agad_tf.data.readers import limit_pixels
from agad_tf.evaluation.results import decision_of, read_results
from agad_tf.files.workdir import Workdir
from agad_tf.prediction.inputs import find_images
from agad_tf.prediction.output_folder import (
    COLUMNS,
    SCORES,
    UNREADABLE,
    claim_for_detector,
    files_done,
    write_summary,
)
from agad_tf.prediction.overlays import MAPS, Overlays, common_folder
from agad_tf.prediction.resumable_csv import ResumableCsv
from agad_tf.prediction.scoring import scored_batches
from agad_tf.training.restore import restore


def predict(config: ExperimentConfig, pattern: str, output: str = "", save_maps: bool = False) -> None:
    """Scores images with the detector of a finished run; goes on where an earlier call was interrupted.

    Args:
        config: of the run.
        pattern: an image, a folder of them, a glob pattern, or a CSV with the column path.
        output: folder for scores.csv (a row for each image, written as it goes), unreadable.csv, summary.json and
            maps/; empty means predictions/ in the run's folder.
        save_maps: whether to write every image with its error map laid over it, in colours that mean the same for all
            images.

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
    paths = find_images(pattern)
    folder = Path(output) if output else workdir.root / "predictions"
    claim_for_detector(folder, workdir.root, decision)
    done = files_done(folder)
    left = [path for path in paths if path not in done]
    if len(left) < len(paths):
        print(f"{len(paths) - len(left)} of {len(paths)} pictures are done already, in {folder}.")

    # === Scoring ===
    began = time.monotonic()
    maps = Overlays(folder / MAPS, common_folder(paths), results["error_map_scale"], pixel_range) if save_maps else None
    with (
        ResumableCsv(folder / SCORES, COLUMNS) as scores,
        ResumableCsv(folder / UNREADABLE, ("path", "complaint")) as unreadable,
        tqdm(total=len(left), desc="scoring", unit=" pictures", smoothing=0.1) as bar,
    ):
        for batch in scored_batches(
            restore(config), left, config.batch_size, with_error_maps=save_maps, pixel_range=pixel_range
        ):
            readable = np.array([not complaint for complaint in batch.complaints])
            # The map of an image is there before its row, so that what is done has both.
            if maps:
                maps.write(batch.files[readable], batch.error_maps[readable], results["channels"])
            scores.write(
                [path, float(score), f"{decision.probability(score):.6f}", int(score >= decision.threshold)]
                for path, score in zip(batch.files[readable], batch.scores[readable], strict=True)
            )
            complaints = zip(batch.files, batch.complaints, strict=True)
            unreadable.write((path, complaint) for path, complaint in complaints if complaint)
            bar.update(len(batch.files))

    # === Summary ===
    write_summary(folder, len(left), time.monotonic() - began)
