"""Between flags and `ExperimentConfig`: the command line, flagfiles, and the `config.cfg` that a run leaves."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import flags

from agad_tf.config import ExperimentConfig, UsageError


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines a flag for every field of `ExperimentConfig`."""
    define_by_type: dict[Any, Callable[..., Any]] = {
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        bool: flags.DEFINE_bool,
        str: flags.DEFINE_string,
        tuple[int, ...]: flags.DEFINE_list,
        tuple[str, ...]: flags.DEFINE_list,
    }
    for field in dataclasses.fields(ExperimentConfig):
        define: Callable[..., Any] = define_by_type[field.type]
        default = [str(item) for item in field.default] if isinstance(field.default, tuple) else field.default
        text = field.metadata["help"]
        if field.metadata["choices"]:
            choices = list(field.metadata["choices"])
            flags.DEFINE_enum(field.name, default, choices, text, flag_values=flag_values)
        else:
            define(field.name, default, text, flag_values=flag_values)


def config_from_flags(flag_values: flags.FlagValues) -> ExperimentConfig:
    """The configuration that the flags give; on an existing run, what they leave open is taken from the run.

    Raises:
        UsageError: flags that are wrong, contradict each other, or name a run that is not there.
    """
    given = {
        field.name: _from_flag_value(field, flag_values[field.name].value)
        for field in dataclasses.fields(ExperimentConfig)
    }
    if given["mode"] == "train" or not given["workdir"]:
        return ExperimentConfig(**given)
    stored = dataclasses.asdict(read_config(Path(given["workdir"])))
    present = {name: value for name, value in given.items() if flag_values[name].present or name in ("mode", "workdir")}
    config = ExperimentConfig(**{**stored, **present})
    require_same_settings(ExperimentConfig(**stored), config)
    return config


def read_config(workdir: Path) -> ExperimentConfig:
    """Reads the configuration that a run left in its folder.

    Raises:
        UsageError: there is none, or it is not readable.
    """
    path = workdir / "config.cfg"
    flag_values = flags.FlagValues()
    define_flags(flag_values)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        flag_values(["config.cfg", *lines])
    except OSError as error:
        raise UsageError(
            f"There is no run in {workdir}: {path.name} cannot be read ({error.strerror}). "
            "Train one with --mode=train, or name another --workdir."
        ) from error
    except (flags.Error, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is damaged ({error}); train the run again in another --workdir.") from error
    missing = [field.name for field in dataclasses.fields(ExperimentConfig) if not flag_values[field.name].present]
    if missing:
        raise UsageError(f"{path} is damaged (no --{missing[0]}); train the run again in another --workdir.")
    return ExperimentConfig(
        **{
            field.name: _from_flag_value(field, flag_values[field.name].value)
            for field in dataclasses.fields(ExperimentConfig)
        }
    )


def to_flagfile(config: ExperimentConfig) -> str:
    """The text of a flagfile that gives every flag its value here."""
    values = {**dataclasses.asdict(config), "mode": "train", "workdir": str(config.folder)}
    return "".join(f"--{name}={_to_flag_text(value)}\n" for name, value in values.items())


def require_same_settings(stored: ExperimentConfig, asked: ExperimentConfig) -> None:
    """Refuses to mix two experiments in one folder.

    Raises:
        UsageError: the two differ in anything that defines the outcome.
    """
    before, now = stored.settings(), asked.settings()
    differences = [f"--{name}={_to_flag_text(before[name])}" for name in before if before[name] != now[name]]
    if differences:
        raise UsageError(
            f"{asked.folder} holds a run with {' '.join(differences)}, which the flags contradict; "
            "give those values or another --workdir."
        )


def _from_flag_value(field: dataclasses.Field, value: Any) -> Any:
    if field.type != tuple[int, ...]:
        return tuple(value) if isinstance(value, list) else value
    try:
        return tuple(int(item) for item in value)
    except ValueError as error:
        raise UsageError(
            f"--{field.name} is '{','.join(value)}'; give whole numbers with commas between, such as 1,4."
        ) from error


def _to_flag_text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    return str(value).lower() if isinstance(value, bool) else str(value)
