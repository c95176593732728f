"""A sweep: every combination of the values of a benchmark's options."""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from agad_tf.config.choices import ALL, CLASS_COUNTS, EACH, OWN_SETS, WHERE_AND_HOW
from agad_tf.config.errors import UsageError
from agad_tf.config.experiment import ExperimentConfig, unread_options
from agad_tf.config.options import parse_budget

DEFAULT_FOLDER = "runs/benchmark"


@dataclasses.dataclass(frozen=True)
class Sweep:
    """The experiments of a benchmark.

    Attributes:
        folder: of the benchmark; every experiment has a folder below it.
        experiments: in the order of running; all classes of a seed come before the next seed.
        left_out: combinations that contradict themselves, each with the sentence that says why.
        budget: seconds after which no experiment is begun, and the current one is interrupted.
    """

    folder: Path
    experiments: tuple[ExperimentConfig, ...]
    left_out: tuple[str, ...] = ()
    budget: float = math.inf


def build_sweep(folder: str, base: Mapping[str, Any], axes: Mapping[str, Sequence[Any]], budget: str = "") -> Sweep:
    """Combines all values of all axes.

    Args:
        folder: of the benchmark; empty means `DEFAULT_FOLDER`.
        base: a value for every option of `ExperimentConfig`.
        axes: options with their values, the slowest to vary first. The normal class may be "all", and the anomaly
            classes "each", which means each class except the normal one in turn.
        budget: such as "2h" or "90m"; empty means no limit.

    Returns:
        The sweep.

    Raises:
        UsageError: an axis is not a setting of an experiment, the budget is wrong, or no combination with some value
            can be run.
    """
    for name in axes:
        if name not in base or name in WHERE_AND_HOW:
            raise UsageError(f"--sweep={name}=… is not a setting of an experiment; see --help for all options.")
    root = Path(folder or DEFAULT_FOLDER)
    experiments: dict[ExperimentConfig, None] = {}
    left_out: dict[str, None] = {}
    unused = {(name, value): "no method of the sweep reads it." for name, values in axes.items() for value in values}
    for values in itertools.product(*axes.values()):
        read = _as_read({**base, **dict(zip(axes, values, strict=True))}, axes)
        runs, sentences = _runs({**base, **read, "mode": "train", "workdir": ""})
        experiments |= dict.fromkeys(dataclasses.replace(run, workdir=str(root / run.folder)) for run in runs)
        left_out |= dict.fromkeys(sentences)
        for item in unused.keys() & read.items():
            if runs:
                del unused[item]
            else:
                unused[item] = sentences[0]
    if not experiments:
        raise UsageError(f"No combination of the values can be run: {next(iter(left_out))}")
    if unused:
        (name, value), why = next(iter(unused.items()))
        raise UsageError(f"Nothing can be run with --{name}={value}: {why}")
    return Sweep(root, tuple(experiments), tuple(left_out), parse_budget(budget))


def _as_read(settings: Mapping[str, Any], axes: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """A combination; options that its method does not read are not varied, so that no experiment is run twice."""
    unread = unread_options(settings["method"])
    return {name: values[0] if name in unread else settings[name] for name, values in axes.items()}


def _runs(settings: dict[str, Any]) -> tuple[list[ExperimentConfig], list[str]]:
    """The experiments of a combination, and the error messages of invalid ones."""
    runs, sentences = [], []
    for each in _expand(settings):
        try:
            runs.append(ExperimentConfig(**each))
        except UsageError as error:
            sentences.append(str(error))
    return runs, sentences


def _expand(settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Replaces "all" and "each" by the classes of the data set."""
    normal = settings["normal_class"]
    if settings["dataset"] in OWN_SETS and (normal == ALL or settings["anomaly_classes"] == EACH):
        raise UsageError("The classes of your own images are not known at this point; name them, separated by commas.")
    classes = range(CLASS_COUNTS.get(settings["dataset"], 0))
    for normal_class in classes if normal == ALL else [normal]:
        labelled: Any = settings["anomaly_classes"]
        if labelled == EACH:
            labelled = [(each,) for each in classes if each != normal_class]
        for anomaly_classes in labelled if settings["anomaly_classes"] == EACH else [labelled]:
            yield {**settings, "normal_class": normal_class, "anomaly_classes": anomaly_classes}
