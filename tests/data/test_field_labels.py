"""Labels as users have them: faults of whole kinds that users have met."""

import pytest

from agad_tf.config.errors import UsageError
from tests.data.files import numbered, task_of, write

# === The same class twice ===


@pytest.mark.parametrize(("normal", "labelled"), [(0, "good"), ("good", 0), ("good", "good"), (0, 0)])
def test_the_same_class_by_number_and_by_name_is_refused(tmp_path, normal, labelled):
    write(tmp_path, *numbered("good", 40), *numbered("bad", 20))
    with pytest.raises(UsageError, match=r"are the same class of .*, good; leave it out of --anomaly_classes"):
        task_of(tmp_path, normal, gamma=0.1, anomaly_classes=("bad", labelled))


def test_the_same_anomaly_class_by_number_and_by_name_counts_once(tmp_path):
    write(tmp_path, *numbered("good", 40), *numbered("bad", 20))
    _, once = task_of(tmp_path, "good", gamma=0.1, anomaly_classes=("bad",))
    _, twice = task_of(tmp_path, "good", gamma=0.1, anomaly_classes=("bad", 1))
    assert once.train.ids.tolist() == twice.train.ids.tolist()
