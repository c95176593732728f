"""Scores of the images that a user drops on the page."""

import csv
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from agad_tf.data.images_in_files import read_picture
from agad_tf.data.pixel_range import PixelRange
from agad_tf.evaluation.thresholds import Decision
from agad_tf.models.agad import AGAD
from agad_tf.prediction.file_versions import digest, version_of
from agad_tf.prediction.output_folder import COLUMNS
from agad_tf.prediction.overlays import overlaid
from agad_tf.prediction.scoring import scored_batches

# Longest side, in pixels, of an image on the page.
SHOWN_SIDE = 800


@dataclasses.dataclass(frozen=True)
class Detector:
    """The detector of a finished run.

    Attributes:
        model: as its last epoch left it.
        decision: how it judges scores.
        channels: of the images that it reads, 1 or 3.
        map_scale: value of an error map that is shown in the brightest colour, above 0.
        pixel_range: the values that are black and white in images of more than 8 bits.
        batch_size: images that are scored at a time.
        validation: its validation images, with the columns image_id, label (0 normal, 1 abnormal) and anomaly_score;
            without rows if the run does not have them.
    """

    model: AGAD
    decision: Decision
    channels: int
    map_scale: float
    pixel_range: PixelRange
    batch_size: int
    validation: pd.DataFrame


@dataclasses.dataclass(frozen=True)
class Finding:
    """The result for one file.

    Attributes:
        path: of the file.
        complaint: what is wrong with it, a sentence; empty for an image that can be read.
        score: higher is more abnormal; NaN with a complaint.
        probability: in [0, 1], see `Decision`; NaN with a complaint.
        image: file of the image as the page shows it; empty with a complaint.
        overlay: file of the image with its error map laid over it; empty with a complaint.
    """

    path: str
    complaint: str = ""
    score: float = float("nan")
    probability: float = float("nan")
    image: str = ""
    overlay: str = ""

    @property
    def name(self) -> str:
        """The file's name."""
        return Path(self.path).name


def findings_of(detector: Detector, paths: list[str], folder: Path) -> Iterator[Finding]:
    """Scores images in files.

    Args:
        detector: of the page.
        paths: of the files.
        folder: for the images that the page shows.

    Yields:
        The finding for each file, in the order of the paths.
    """
    model, pixel_range = detector.model, detector.pixel_range
    for batch in scored_batches(model, paths, detector.batch_size, with_error_maps=True, pixel_range=pixel_range):
        for path, complaint, score, error_map in zip(*batch, strict=True):
            if complaint:
                yield Finding(path, complaint.replace(path, Path(path).name))
                continue
            image = read_picture(path, detector.channels, pixel_range)
            shown = _write_shown(image.squeeze(), folder / f"{digest(path)}-image.png")
            laid = _write_shown(overlaid(image, error_map, detector.map_scale), folder / f"{digest(path)}-overlay.png")
            yield Finding(path, "", float(score), float(detector.decision.probability(score)), shown, laid)


def _write_shown(pixels: np.ndarray, place: Path) -> str:
    image = Image.fromarray(pixels)
    image.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
    image.save(place)
    return str(place)


def write_table(path: Path, findings: Sequence[Finding], threshold: float) -> None:
    """Writes the scores with the columns of `--mode=predict`.

    A browser does not report when a file was changed, so modified_ns is empty. Files with a complaint have no row.

    Args:
        path: of the CSV.
        findings: of the files.
        threshold: score at or above which an image is flagged.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(
            (each.name, each.score, f"{each.probability:.6f}", int(each.score >= threshold), size, "")
            for each, size in ((each, version_of(each.path).bytes) for each in findings if not each.complaint)
        )


def slider_range(detector: Detector, findings: Sequence[Finding]) -> tuple[float, float, float]:
    """Lowest and highest threshold to choose from, and the step between two.

    Args:
        detector: whose validation scores and threshold lie in the range.
        findings: their scores lie in it too, unless they are several times as far away.

    Returns:
        Lowest, highest, step.
    """
    known = [*detector.validation["anomaly_score"], detector.decision.threshold]
    span = max(known) - min(known) or abs(known[0]) or 1.0
    decimals = int(np.ceil(-np.log10(span / 500)))
    step = 10.0**-decimals
    highest = max([max(known) + span / 5, *(min(each.score, max(known) + 4 * span) for each in findings if each.image)])
    lowest = min(known) - span / 5
    return round(lowest - step / 2, decimals), round(highest + step / 2, decimals), step
