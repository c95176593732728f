"""The configuration of an experiment: one frozen dataclass.

Its fields are in `agad_tf.config.fields`. This module checks their values, and imports neither TensorFlow nor Keras, so
that `--help` and errors in flags come at once.
"""

import dataclasses
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from agad_tf.config.choices import (
    ADDED_SINCE_0_6,
    ADDED_SINCE_0_7,
    ANCESTORS,
    BASELINES,
    CLASS_COUNTS,
    EARLIER_NAMES,
    OWN_SETS,
    READ_BY_BASELINES,
    READ_BY_THE_CEILING,
    UNREAD_BY_ANCESTORS,
    WHERE_AND_HOW,
)
from agad_tf.config.contradictions import CONTRADICTIONS
from agad_tf.config.errors import UsageError
from agad_tf.config.fields import ExperimentFields
from agad_tf.config.options import Unsaid, UnsaidName, parse_image_size, parse_threshold


@dataclasses.dataclass(frozen=True)
class ExperimentConfig(ExperimentFields):
    """Every option of an experiment, checked.

    Raises:
        UsageError: a value out of its range, or two that contradict each other.
    """

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check_field(field, getattr(self, field.name))
        if self.method == "skip_ganomaly" and isinstance(self.generator, UnsaidName):
            object.__setattr__(self, "generator", UnsaidName("unet"))
        if self.gamma > 0 and isinstance(self.min_anomalies, Unsaid) and 2 * self.min_anomalies > self.batch_size:
            # The default is an eighth of the default batch.
            object.__setattr__(self, "min_anomalies", Unsaid(max(1, self.batch_size // 8)))
        for name, parse in (("threshold", parse_threshold), ("image_size", parse_image_size)):
            try:
                parse(getattr(self, name))
            except ValueError as error:
                raise UsageError(f"--{name} is '{getattr(self, name)}'; {error}") from error
        for contradicts, sentence in CONTRADICTIONS:
            if contradicts(self):
                as_given = {
                    name: ",".join(map(str, value)) if isinstance(value, tuple) else value
                    for name, value in dataclasses.asdict(self).items()
                }
                count = CLASS_COUNTS.get(self.dataset, "its own")
                raise UsageError(sentence.format(config=SimpleNamespace(**as_given), class_count=count))

    @property
    def folder(self) -> Path:
        """Folder of the run: `workdir`, or one below runs/ whose name differs for other settings."""
        if self.workdir:
            return Path(self.workdir)
        # Options that were added or renamed later do not change the folder of a run that an earlier version began.
        named = {
            EARLIER_NAMES.get(name, name): value
            for name, value in self.settings().items()
            if name not in (*ADDED_SINCE_0_6, *ADDED_SINCE_0_7) or value != DEFAULTS[name]
        }
        digest = zlib.crc32(repr(named).encode())
        data = Path(self.data_dir).stem if self.dataset in OWN_SETS else self.dataset
        what = self.generator if self.method == "agad" else self.method
        return Path(f"runs/{data}-{self.normal_class}-gamma{self.gamma:g}-{what}-seed{self.seed}-{digest:08x}")

    def options(self) -> dict[str, Any]:
        """Every option with its value; `workdir` is the run's folder, and `data_dir` is absolute."""
        data_dir = self.data_dir and str(Path(self.data_dir).absolute())
        return {**dataclasses.asdict(self), "workdir": str(self.folder), "data_dir": data_dir}

    def settings(self) -> dict[str, Any]:
        """What defines the outcome: all options except `WHERE_AND_HOW`, and the place of the user's own images."""
        left_out = set(WHERE_AND_HOW) - ({"data_dir"} if self.dataset in OWN_SETS else set())
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in left_out}

    def settings_read(self) -> dict[str, Any]:
        """`settings`, with None for each that the method does not read."""
        unread = unread_options(self.method)
        return {name: None if name in unread else value for name, value in self.settings().items()}


DEFAULTS: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(ExperimentConfig)}


def unread_options(method: str) -> set[str]:
    """Options of an experiment that have no effect on a method.

    Args:
        method: one of `agad_tf.config.choices.METHODS`.
    """
    if method not in BASELINES:
        return set(UNREAD_BY_ANCESTORS) if method in ANCESTORS else set()
    read = {*READ_BY_BASELINES, *(READ_BY_THE_CEILING if method == "supervised" else ())}
    return set(DEFAULTS) - read - set(WHERE_AND_HOW)


def _check_field(field: dataclasses.Field, value: Any) -> None:
    choices, interval = field.metadata["choices"], field.metadata["interval"]
    if choices and value not in choices:
        raise UsageError(f"--{field.name} is '{value}'; choose one of {', '.join(choices)}.")
    if interval and value not in interval:
        raise UsageError(f"--{field.name} is {value}; it must be {interval}.")
