import json

from agad_tf.data.sources import load_source
from agad_tf.files.workdir import Workdir
from agad_tf.training.run import evaluate, train
from tests.runs import digits_run


def files_of(config):
    workdir = Workdir(config.folder)
    return workdir.scores.read_text(), json.loads(workdir.results.read_text())


def test_a_baseline_leaves_figures_and_is_measured_again_to_the_same(tmp_path):
    baseline = digits_run(tmp_path / "run", method="knn")
    train(baseline)
    first = files_of(baseline)
    assert len(first[0].splitlines()) == 1 + len(load_source("digits").x_test), "a line for every test image"
    assert set(first[1]["protocols"]) == {"per_image"}
    # What it does not read is not recorded as if it did.
    assert first[1]["protocols"]["per_image"]["epoch"] is None
    assert first[1]["generator"] is None
    assert first[1]["seed"] == baseline.seed
    evaluate(baseline)
    assert files_of(baseline)[0] == first[0]
