"""The scores that the family protocol keeps during training: those of the epoch that is best on the test set."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from agad_tf.config.errors import RunError
from agad_tf.data.readers import read_npz


class FamilyScores(NamedTuple):
    """Test scores of one epoch under the family protocol.

    Attributes:
        labels: int (images,): 0 normal, 1 abnormal.
        scores: float (images,), higher is more abnormal.
        epoch: counted from 1.
    """

    labels: np.ndarray
    scores: np.ndarray
    epoch: int


def write_family_scores(path: Path, best: FamilyScores) -> None:
    """Writes the scores beside their place, and then puts them there.

    Args:
        path: of the `.npz` file.
        best: the scores of the best epoch on the test set.
    """
    beside = path.with_suffix(".partial.npz")
    np.savez(beside, labels=best.labels, scores=best.scores, epoch=best.epoch)
    beside.replace(path)


def read_family_scores(path: Path) -> FamilyScores:
    """Reads what `write_family_scores` wrote.

    Raises:
        RunError: the file is missing or damaged.
    """
    try:
        kept = read_npz(path)
        return FamilyScores(kept["labels"], kept["scores"], int(kept["epoch"]))
    except (RunError, KeyError, TypeError) as error:
        raise RunError(f"{path} is missing or damaged; train the run again in another --workdir.") from error
