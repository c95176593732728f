"""Converts the flags of a benchmark to its sweep."""

import dataclasses
from typing import Any

from absl import flags

from agad_tf.benchmark.sweep import Sweep, build_sweep
from agad_tf.config.choices import EACH
from agad_tf.config.errors import UsageError
from agad_tf.config.experiment import ExperimentConfig
from agad_tf.config.flags import SWEPT, from_flag_value, require_flags_of_mode, require_folder, values_of


def sweep_from_flags(flag_values: flags.FlagValues) -> Sweep:
    """The sweep that the flags of a benchmark give.

    Raises:
        UsageError: flags that are wrong or contradict each other.
    """
    require_flags_of_mode(flag_values)
    require_folder("workdir", flag_values.workdir)
    base = {field.name: flag_values[field.name].value for field in dataclasses.fields(ExperimentConfig)}
    fields = {field.name: field for field in dataclasses.fields(ExperimentConfig)}
    axes: dict[str, list[Any]] = {"seed": _as_list(base["seed"])}
    if flag_values.seeds:
        if len(axes["seed"]) > 1:
            raise UsageError("--seeds counts up from one --seed, but several are given; leave one of the two out.")
        axes["seed"] = [axes["seed"][0] + number for number in range(flag_values.seeds)]
    for item in flag_values.sweep:
        name, _, texts = item.partition("=")
        if name in SWEPT:
            raise UsageError(f"--sweep={name}=… is not allowed; give --{name}=…, with its values separated by commas.")
        if name not in fields or not texts:
            raise UsageError(f"--sweep={item} is not of the form option=value,value; see --help for the options.")
        if name in axes:
            raise UsageError(f"--sweep={name}=… is given twice; give all values in one.")
        axes[name] = [_parse_swept(fields[name], flag_values[name], text) for text in texts.split(",")]
    axes |= {name: _as_list(base[name]) for name in SWEPT if name != "seed"}
    single = {name: value for name, value in values_of(flag_values).items() if name not in axes}
    return build_sweep(base["workdir"], {**base, **single}, axes, flag_values.budget)


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, tuple) else [value]


def _parse_swept(field: dataclasses.Field, flag: flags.Flag, text: str) -> Any:
    if field.name == "anomaly_classes" and text == EACH:
        return EACH
    try:
        return from_flag_value(field, flag.parser.parse(text))
    except ValueError as error:
        raise UsageError(f"--sweep={field.name}={text}: {error.args[0]}.") from error
