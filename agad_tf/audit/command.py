"""The audit: how far a model's score of an image depends on the other images of its batch.

A detector that is scored with batch statistics, in batches ordered by label, reads the label off the batch; its
figures look better than what a user gets, who has one image at a time. The audit finds that in any model that scores
images, as each image is scored alone and in company.
"""

import csv
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from agad_tf.audit.page import audit_page
from agad_tf.audit.scoring_models import ScoreImages, load_scoring_model, usual_range
from agad_tf.config.experiment import ExperimentConfig, RunError, UsageError
from agad_tf.data.splits import ABNORMAL, NORMAL, Split
from agad_tf.evaluation.results import versions, write_whole
from agad_tf.training.run import load_task

SCHEMA_VERSION = 1
DEFAULT_FOLDER = "runs/audit"
MOST_IMAGES = 2000
ROUNDING = 1e-5
"""Relative error that a float32 score may have: sums of many products, in an order that the batch size decides."""
LEAST_CHANGE = 1e-3
"""Least change that counts, in standard deviations. Fewer than 1 in 1,000 pairs of images are that close in score
where scores are spread like a bell, so that smaller changes move no AUROC by 0.1 %."""
CHANCE_MARGIN = 2
"""So many times as far as copies of the probes lie apart may scores change by chance, being many more."""
LEAST_GAIN = 0.01
"""Least difference of two AUROCs that the verdict speaks of as one."""


@dataclasses.dataclass(frozen=True)
class Condition:
    """What was measured in batches of one kind and size.

    Attributes:
        condition: what the batches were.
        batch_size: images in a batch.
        images: how many were scored so.
        auroc: of their scores, a fraction.
        auroc_alone: of the scores of the same images alone.
        median_change: of a score against that of the image alone, in units of `Audit.unit`.
        largest_change: the same, of the image that it moves most.
    """

    condition: str
    batch_size: int
    images: int
    auroc: float
    auroc_alone: float
    median_change: float
    largest_change: float


@dataclasses.dataclass(frozen=True)
class Audit:
    """The findings.

    Attributes:
        conditions: one for each kind and size of batch; the first is "alone".
        unit: standard deviation that changes are divided by, in units of the score; above 0.
        alone_differs: whether images alone have scores that differ; if not, `unit` is that of scores in batches.
        chance: how far scores of copies of one image in one batch lie apart, at most, in units of `unit`: above
            rounding where a score is random, or depends on the place in the batch.
        tolerance: largest change that rounding and chance may explain.
        probes: number of images that were put into batches of others.
        seed: of what was drawn.
    """

    conditions: tuple[Condition, ...]
    unit: float
    alone_differs: bool
    chance: float
    tolerance: float
    probes: int
    seed: int

    @property
    def worst(self) -> Condition:
        """Where a score moves most."""
        return max(self.conditions, key=lambda condition: condition.largest_change)

    @property
    def depends(self) -> bool:
        """Whether the score of an image depends on its batch."""
        return self.worst.largest_change > self.tolerance

    @property
    def verdict(self) -> str:
        """The findings in one sentence."""
        alone, worst = self.conditions[0], self.worst
        random = CHANCE_MARGIN * self.chance >= self.tolerance
        by_itself = f" (copies of one image in one batch differ by up to {self.chance:.2g})" if random else ""
        reversed_ = ", below 50 %, as if lower scores were more abnormal" if alone.auroc < 0.5 - LEAST_GAIN else ""
        if not self.depends:
            return (
                f"No dependence found: in {len(self.conditions) - 1} kinds of batch the largest change of a score is "
                f"{worst.largest_change:.2g} standard deviations, no more than {'chance' if random else 'rounding'}"
                f"{by_itself}; AUROC is {100 * alone.auroc:.1f} %{reversed_}."
            )
        pairs = zip(self._of("ordered by label"), self._of("shuffled"), strict=True)
        ordered, shuffled = max(pairs, key=lambda pair: pair[0].auroc - pair[1].auroc)
        gain = ordered.auroc - alone.auroc
        if ordered.auroc >= shuffled.auroc + LEAST_GAIN:
            conclusion = "the label leaks" + ("" if gain > 0 else ", though not in the detector's favour")
        elif gain >= LEAST_GAIN:
            conclusion = "company in any order is what helps it, not the order"
        else:
            conclusion = f"the difference is {'hardly' if gain > 0 else 'not'} in the detector's favour"
        return (
            f"The score of an image depends on its batch: it moves by up to {worst.largest_change:.2g} standard "
            f"deviations ({worst.condition}, {worst.batch_size} at a time){by_itself}"
            f"{'' if self.alone_differs else ', while alone all images score the same'}; "
            f"with batches of {ordered.batch_size} ordered by label AUROC is {100 * ordered.auroc:.1f} %, "
            f"shuffled {100 * shuffled.auroc:.1f} %, one image at a time {100 * alone.auroc:.1f} %{reversed_}: "
            f"{conclusion}."
        )

    def _of(self, name: str) -> list[Condition]:
        return [condition for condition in self.conditions if condition.condition == name]


def measure_batch_dependence(
    score: ScoreImages,
    test: Split,
    seed: int,
    probes: int = 64,
    batch_sizes: Sequence[int] = (8, 64),
    most_images: int = MOST_IMAGES,
) -> Audit:
    """Scores the same images alone and in batches of several kinds.

    Args:
        score: the model.
        test: at least two images of each kind; of a larger set `most_images` are drawn, with its share of anomalies.
        seed: of what is drawn.
        probes: how many images are put into batches of others, half of them normal; at least 2.
        batch_sizes: sizes to try, at least one; each above 1.
        most_images: how many are scored alone, shuffled and ordered by label.

    Returns:
        The findings; equal for equal seeds.

    Raises:
        UsageError: the test set is too small.
        RunError: scores are not one finite number an image, or the same for all images in all batches.
    """
    rows_of = [np.flatnonzero(test.labels == label) for label in (NORMAL, ABNORMAL)]
    if min(map(len, rows_of)) < 2:
        raise UsageError("The audit needs at least two normal and two abnormal test images; use a larger test set.")
    images = np.asarray(test.images)
    rng = np.random.default_rng(seed)
    share = min(1, most_images / len(test.labels))
    drawn = [rng.permutation(rows)[: max(2, round(share * len(rows)))] for rows in rows_of]
    ordered, probe_rows = np.concatenate(drawn), np.concatenate([rows[: probes // 2] for rows in drawn])
    image_count = len(ordered) * (1 + 2 * len(batch_sizes))
    image_count += len(probe_rows) * (3 * sum(batch_sizes) + max(batch_sizes))

    pools = {"normals": rows_of[NORMAL], "anomalies": rows_of[ABNORMAL], "noise": None}
    alone = np.zeros(len(test.labels))
    with tqdm(total=image_count, desc="auditing", unit="image", delay=1, leave=False, disable=None) as bar:
        score = _checked(score, bar)
        alone[ordered] = _in_batches(score, images[ordered], 1)
        measured = [("alone", 1, ordered, alone[ordered])]
        for size in batch_sizes:
            for name, pool in pools.items():
                scores = np.array([_score_among(score, images, row, pool, size, rng) for row in probe_rows])
                measured.append((f"among {name}", size, probe_rows, scores))
            for name, rows in (("shuffled", rng.permutation(ordered)), ("ordered by label", ordered)):
                measured.append((name, size, rows, _in_batches(score, images[rows], size)))
        # To any statistics of the batch, copies of an image are as that image alone; what differs is chance.
        apart = max(np.ptp(score(np.repeat(images[[row]], max(batch_sizes), axis=0))) for row in probe_rows)

    unit, alone_differs = _unit(alone[probe_rows], np.concatenate([scores for *_, scores in measured[1:]]))
    conditions = []
    for name, size, rows, scores in measured:
        change = np.abs(scores - alone[rows]) / unit
        auroc, auroc_alone = (float(roc_auc_score(test.labels[rows], values)) for values in (scores, alone[rows]))
        largest, median = float(np.max(change)), float(np.median(change))
        conditions.append(Condition(name, size, len(rows), auroc, auroc_alone, median, largest))
    chance = float(apart / unit)
    tolerance = max(LEAST_CHANGE, ROUNDING * float(np.max(np.abs(alone))) / unit, CHANCE_MARGIN * chance)
    return Audit(tuple(conditions), unit, alone_differs, chance, tolerance, len(probe_rows), seed)


def audit(config: ExperimentConfig, model: str, training_mode: bool, input_range: str | None = None) -> None:
    """Audits a model: writes audit.json, audit.csv and audit.html, and prints the table and the verdict.

    Args:
        config: what the test set is, where to write (else to `DEFAULT_FOLDER`), and the seed of what is drawn.
        model: path, see `load_scoring_model`.
        training_mode: see `load_scoring_model`.
        input_range: see `load_scoring_model`.

    Raises:
        UsageError: there is no such model, or it or the test set does not fit.
        RunError: the model is damaged or fails.
    """
    input_range = input_range or usual_range(Path(model))
    score = load_scoring_model(Path(model), training_mode, input_range)
    found = measure_batch_dependence(score, load_task(config)[1].test, config.seed)
    workdir = Path(config.workdir or DEFAULT_FOLDER)
    workdir.mkdir(parents=True, exist_ok=True)
    setting = {
        "model": model,
        "training_mode": training_mode,
        "input_range": input_range,
        "dataset": config.dataset,
        "normal_class": config.normal_class,
    }
    record = {
        "schema_version": SCHEMA_VERSION,
        "verdict": found.verdict,
        "depends": found.depends,
        **setting,
        **dataclasses.asdict(found),
        "versions": versions(),
    }
    page = audit_page(found, setting)
    write_whole(workdir / "audit.json", lambda file: file.write(json.dumps(record, indent=2) + "\n"))
    write_whole(workdir / "audit.csv", lambda file: _write_csv(file, found))
    write_whole(workdir / "audit.html", lambda file: file.write(page))
    _print_table(found)
    print(f"{found.verdict}\n{workdir / 'audit.html'} shows how it was measured.")


def _checked(score: ScoreImages, bar: tqdm) -> ScoreImages:
    """Scores with `score`, sees that it gives what it should, and moves the progress bar."""

    def scores_of(images: np.ndarray) -> np.ndarray:
        scores = np.asarray(score(images), np.float64)
        if scores.shape != (len(images),) or not np.isfinite(scores).all():
            raise RunError("The model's scores are not one finite number for each image; nothing can be compared.")
        bar.update(len(images))
        return scores

    return scores_of


def _in_batches(score: ScoreImages, images: np.ndarray, size: int) -> np.ndarray:
    return np.concatenate([score(images[start : start + size]) for start in range(0, len(images), size)])


def _score_among(
    score: ScoreImages, images: np.ndarray, row: int, pool: np.ndarray | None, size: int, rng: np.random.Generator
) -> float:
    """The score of `images[row]` at a random place of a batch of others, from the rows in `pool` or else of noise."""
    if pool is None:
        others = rng.integers(0, 256, (size - 1, *images.shape[1:]), np.uint8)
    else:
        pool = pool[pool != row]
        others = images[rng.choice(pool, size - 1, replace=len(pool) < size - 1)]
    place = int(rng.integers(size))
    return score(np.insert(others, place, images[row], axis=0))[place]


def _unit(alone: np.ndarray, in_batches: np.ndarray) -> tuple[float, bool]:
    """What to measure changes by, and whether it is the spread of scores alone.

    Batch statistics of a single feature vector are that vector: a model may score all images alone the same.
    """
    for scores, alone_differs in ((alone, True), (in_batches, False)):
        if np.std(scores) > ROUNDING * np.max(np.abs(scores)):
            return float(np.std(scores)), alone_differs
    raise RunError("The model gives every image the same score; there is nothing to compare.")


def _write_csv(file: TextIO, found: Audit) -> None:
    writer = csv.DictWriter(file, [field.name for field in dataclasses.fields(Condition)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(dataclasses.asdict, found.conditions))


def _print_table(found: Audit) -> None:
    table = Table(title="An image's score by its batch")
    table.add_column("batch")
    for title in ("size", "images", "AUROC in %", "the same alone", "median change", "largest, in SD"):
        table.add_column(title, justify="right")
    for row in found.conditions:
        aurocs = (f"{100 * auroc:.1f}" for auroc in (row.auroc, row.auroc_alone))
        changes = (f"{change:.2g}" for change in (row.median_change, row.largest_change))
        table.add_row(row.condition, str(row.batch_size), str(row.images), *aurocs, *changes)
    Console().print(table)
