"""What the family protocol keeps of training: the test scores of the epoch that is best on the test set."""

from pathlib import Path

import numpy as np

from agad_tf.config.errors import RunError
from agad_tf.data.readers import read_npz


def read_family_scores(path: Path) -> tuple[np.ndarray, np.ndarray, int]:
    """Reads what `EpochScores` kept: labels, scores and the epoch, the best on the test set.

    Raises:
        RunError: the file is missing or damaged.
    """
    try:
        kept = read_npz(path)
        return kept["labels"], kept["scores"], int(kept["epoch"])
    except (RunError, KeyError, TypeError) as error:
        raise RunError(f"{path} is missing or damaged; train the run again in another --workdir.") from error
