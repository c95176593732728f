import dataclasses
from pathlib import Path

import pytest

from agad_tf.config.choices import OWN_SETS
from tests.config.test_flags import parse, sweep

FLAGS = Path(__file__).parents[2] / "flags"
FILES = sorted(FLAGS.glob("*.cfg"))
SWEEPS = sorted(FLAGS.glob("paper/*.cfg"))
MEDICAL = FLAGS / "paper" / "medical.cfg"


@pytest.mark.parametrize("path", [*FILES, *SWEEPS], ids=lambda path: path.stem)
def test_every_line_is_explained(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line.startswith("# ") for line in lines] == [True, False] * (len(lines) // 2)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_flagfile_is_valid(path):
    own = ["--data_dir=pictures"] if path.stem in OWN_SETS else []
    dataset = path.stem.removesuffix("_few_anomalies").removesuffix("_best").replace("fmnist", "fashion_mnist")
    assert parse(f"--flagfile={path}", *own).dataset == dataset


@pytest.mark.parametrize("path", [path for path in SWEEPS if path != MEDICAL], ids=lambda path: path.stem)
def test_sweep_is_valid_and_leaves_nothing_out(path):
    found = sweep(f"--flagfile={path}")
    assert not found.left_out
    classes = {each.normal_class for each in found.experiments}
    assert len(classes) == (20 if path.stem.endswith("cifar100") else 10)
    assert len(found.experiments) > len(classes)


def test_the_medical_sweep_takes_a_file():
    found = sweep(f"--flagfile={MEDICAL}", "--data_dir=some.npz")
    assert not found.left_out
    assert len(found.experiments) == 12


@pytest.mark.parametrize("name", ["fmnist", "fmnist_best", "mnist", "cifar10"])
def test_baselines_are_compared_with_the_recipes(name):
    found = sweep(f"--flagfile={FLAGS / name}.cfg", "--sweep=method=agad,knn,supervised")
    assert [each.method for each in found.experiments] == ["agad", "knn", "supervised"]
    assert not found.left_out


@pytest.mark.parametrize(("name", "differ"), [("fmnist", {"score"}), ("cifar10", {"horizontal_flip", "epochs"})])
def test_few_anomalies_take_the_recipe_and_what_its_file_names(name, differ):
    without, few = (
        dataclasses.asdict(parse(f"--flagfile={FLAGS / name}{ending}.cfg")) for ending in ("_best", "_few_anomalies")
    )
    assert {option for option in few if few[option] != without[option]} == {"gamma", *differ}
