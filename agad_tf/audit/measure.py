"""The measurement of an audit: the same images scored alone and in batches of several kinds."""

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from agad_tf.audit.findings import CHANCE_MARGIN, Audit, Condition
from agad_tf.audit.scoring_models import ScoreImages
from agad_tf.config.errors import RunError, UsageError
from agad_tf.data.splits import ABNORMAL, NORMAL, Split

MOST_IMAGES = 2000
# Possible relative error of a float32 score: sums of many products, in an order that depends on the batch size.
ROUNDING = 1e-5
# Least change that counts, in standard deviations. With normally distributed scores, fewer than 1 in 1,000 pairs are
# this close, so smaller changes alter AUROC by less than 0.1 %.
LEAST_CHANGE = 1e-3


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
        test: at least two images of each kind; from a larger set `most_images` are drawn, with the same share of
            anomalies.
        seed: of random choices.
        probes: number of images that are put into batches of others, half of them normal; at least 2.
        batch_sizes: sizes to try, at least one; each above 1.
        most_images: number of images that are scored alone, shuffled and ordered by label.

    Returns:
        The findings; equal for equal seeds.

    Raises:
        UsageError: the test set is too small.
        RunError: there is not one finite score for each image, or all scores are the same.
    """
    rows_of = [np.flatnonzero(test.labels == label) for label in (NORMAL, ABNORMAL)]
    if min(map(len, rows_of)) < 2:
        normals, anomalies = map(len, rows_of)
        raise UsageError(
            f"The audit needs at least two normal and two abnormal test images, but there are {normals} and "
            f"{anomalies}; use a larger test set."
        )
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
        # Batch statistics of copies of an image are those of the image alone, so differences are chance.
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


def _checked(score: ScoreImages, bar: tqdm) -> ScoreImages:
    """Scores with `score`, checks the result, and moves the progress bar."""

    def scores_of(images: np.ndarray) -> np.ndarray:
        scores = np.asarray(score(images), np.float64)
        if scores.shape != (len(images),) or not np.isfinite(scores).all():
            raise RunError("The model does not give one finite score for each image, so scores cannot be compared.")
        bar.update(len(images))
        return scores

    return scores_of


def _in_batches(score: ScoreImages, images: np.ndarray, size: int) -> np.ndarray:
    return np.concatenate([score(images[start : start + size]) for start in range(0, len(images), size)])


def _score_among(
    score: ScoreImages, images: np.ndarray, row: int, pool: np.ndarray | None, size: int, rng: np.random.Generator
) -> float:
    """The score of `images[row]` at a random position in a batch of other images, from `pool`, or of noise."""
    if pool is None:
        others = rng.integers(0, 256, (size - 1, *images.shape[1:]), np.uint8)
    else:
        pool = pool[pool != row]
        others = images[rng.choice(pool, size - 1, replace=len(pool) < size - 1)]
    place = int(rng.integers(size))
    return score(np.insert(others, place, images[row], axis=0))[place]


def _unit(alone: np.ndarray, in_batches: np.ndarray) -> tuple[float, bool]:
    """The unit of changes, and whether it is the spread of scores of single images.

    With batch statistics of a single vector, a model may give every single image the same score.
    """
    for scores, alone_differs in ((alone, True), (in_batches, False)):
        if np.std(scores) > ROUNDING * np.max(np.abs(scores)):
            return float(np.std(scores)), alone_differs
    raise RunError("The model gives every image the same score, so scores cannot be compared.")
