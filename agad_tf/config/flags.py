"""Converts flags to `ExperimentConfig` and back: the command line, flagfiles, and the `config.cfg` of a run."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import flags

from agad_tf.config.choices import (
    ADDED_SINCE_0_6,
    ADDED_SINCE_0_7,
    ADDED_UNTIL_0_5,
    ALL,
    BASELINES,
    EACH,
    EARLIER_NAMES,
    INPUT_RANGES,
    PROTOCOLS,
    WHERE_AND_HOW,
)
from agad_tf.config.contradictions import FLAGS_OF_MODE
from agad_tf.config.errors import UsageError
from agad_tf.config.experiment import ExperimentConfig
from agad_tf.config.flag_parsers import ClassParser, OneOrMore, PathParser
from agad_tf.config.flagfiles import read_lines
from agad_tf.config.recipes import PAPER, RECIPES

# Flags that name a file or a folder.
PATHS = ("workdir", "data_dir", "input", "output", "model")
# Options that take several values with --mode=benchmark, the slowest to vary first, each with its parser and a word for
# all values. Options of --sweep vary between the first and the second.
SWEPT = {
    "seed": (flags.IntegerParser(), ""),
    "gamma": (flags.FloatParser(), ""),
    "normal_class": (ClassParser(), ALL),
}


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines a flag for every field of `ExperimentConfig`, and those of benchmarks and audits."""
    define_by_type: dict[Any, Callable[..., Any]] = {
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        bool: flags.DEFINE_bool,
        str: flags.DEFINE_string,
        tuple[int | str, ...]: flags.DEFINE_list,
        tuple[str, ...]: flags.DEFINE_list,
        tuple[int, ...]: flags.DEFINE_list,
    }
    for field in dataclasses.fields(ExperimentConfig):
        default = [str(item) for item in field.default] if isinstance(field.default, tuple) else field.default
        text = field.metadata["help"]
        if field.metadata["choices"]:
            choices = list(field.metadata["choices"])
            flags.DEFINE_enum(field.name, default, choices, text, flag_values=flag_values)
        elif field.name in PATHS:
            flags.DEFINE(PathParser(), field.name, default, text, flag_values, flags.ArgumentSerializer())
        elif field.name in SWEPT:
            parser = OneOrMore(*SWEPT[field.name])
            flags.DEFINE(parser, field.name, default, text, flag_values, flags.ArgumentSerializer())
        elif field.type == int | str:
            flags.DEFINE_string(field.name, str(default), text, flag_values=flag_values)
        else:
            define_by_type[field.type](field.name, default, text, flag_values=flag_values)
    for name, earlier in EARLIER_NAMES.items():
        flags.DEFINE_alias(earlier, name, flag_values=flag_values)
    flags.DEFINE_enum(
        "recipe",
        PAPER,
        list(RECIPES),
        "Values of all options that are not given: paper, as in the paper; own_images, to find small flaws in your "
        "own images after training on normal ones only.",
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "seeds", None, "benchmark: number of seeds, counted up from --seed.", lower_bound=1, flag_values=flag_values
    )
    flags.DEFINE_multi_string(
        "sweep",
        [],
        "benchmark: values of any other option, such as generator=unet,unet_plus_plus. "
        "anomaly_classes=each labels one class of anomalies at a time",
        flag_values=flag_values,
    )
    flags.DEFINE(
        PathParser(),
        "input",
        "",
        "predict: an image, a folder of them, a pattern, or a CSV with the column path.",
        flag_values,
        flags.ArgumentSerializer(),
    )
    flags.DEFINE(
        PathParser(),
        "output",
        "",
        "predict: folder to write to; by default predictions/ in --workdir.",
        flag_values,
        flags.ArgumentSerializer(),
    )
    flags.DEFINE_bool(
        "save_maps", False, "predict: write each image with its error map laid over it.", flag_values=flag_values
    )
    flags.DEFINE(
        PathParser(),
        "model",
        "",
        "audit: folder of a SavedModel or of a run, or a .keras file.",
        flag_values,
        flags.ArgumentSerializer(),
    )
    flags.DEFINE_bool(
        "training_mode",
        False,
        "audit: score with batch statistics, as the GANomaly family's public code does.",
        flag_values=flag_values,
    )
    flags.DEFINE_enum(
        "input_range",
        None,
        list(INPUT_RANGES),
        "audit: range of pixel values that the model takes; by default 0..255 for a SavedModel, otherwise -1..1.",
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "budget",
        "",
        "Time limit, such as 3m, 90m or 2h; empty means none. train: limits the training steps; the learning rate "
        "reaches its last value when the time is up. Reading, evaluation and export take additional time, and such a "
        "run does not repeat to the bit. benchmark: stops after this time; the same command continues.",
        flag_values=flag_values,
    )


def config_from_flags(flag_values: flags.FlagValues) -> ExperimentConfig:
    """The configuration that the flags give; modes that work on a run take all other options from that run.

    Raises:
        UsageError: flags are wrong or contradict each other, or the run does not exist.
    """
    if flag_values.mode == "audit" and not flag_values.model:
        raise UsageError("--mode=audit needs a model; name it with --model.")
    if flag_values.mode == "predict" and not flag_values.input:
        raise UsageError("--mode=predict needs images; name a file, a folder, a pattern or a CSV with --input.")
    require_flags_of_mode(flag_values)
    for name in ("workdir", "output"):
        require_folder(name, flag_values[name].value)
    several = [name for name in SWEPT if isinstance(flag_values[name].value, tuple) or flag_values[name].value == ALL]
    if several:
        raise UsageError(
            f"--{several[0]} has several values, which only --mode=benchmark takes; give one with "
            f"--mode={flag_values.mode}."
        )
    given = values_of(flag_values)
    if flag_values.budget and given["method"] in BASELINES:
        raise UsageError(f"--method={given['method']} cannot be ended early by --budget; leave --budget out.")
    if given["mode"] in ("train", "audit") or not given["workdir"]:
        return _with_threshold_of_run(ExperimentConfig(**given), flag_values["threshold"].present)
    stored = dataclasses.asdict(read_config(Path(given["workdir"])))
    if given["mode"] in ("predict", "export", "demo") and given["threshold"] not in ("auto", stored["threshold"]):
        raise UsageError(
            f"--threshold is part of the detector; set it with --mode=evaluate, then use --mode={given['mode']} "
            "without it."
        )
    present = {name: value for name, value in given.items() if flag_values[name].present or name in ("mode", "workdir")}
    config = ExperimentConfig(**{**stored, **present})
    require_same_settings(ExperimentConfig(**stored), config)
    return config


def _with_threshold_of_run(config: ExperimentConfig, is_given: bool) -> ExperimentConfig:
    """The configuration of a call in training mode, with the threshold that --mode=evaluate has set, if any."""
    if config.mode != "train" or is_given or not (config.folder / "config.cfg").exists():
        return config
    return dataclasses.replace(config, threshold=read_config(config.folder).threshold)


def values_of(flag_values: flags.FlagValues) -> dict[str, Any]:
    """A value for every option: the one given, otherwise the recipe's, otherwise the default."""
    of_recipe = RECIPES[flag_values.recipe]
    return {
        field.name: of_recipe[field.name]
        if field.name in of_recipe and not flag_values[field.name].present
        else from_flag_value(field, flag_values[field.name].value)
        for field in dataclasses.fields(ExperimentConfig)
    }


def require_flags_of_mode(flag_values: flags.FlagValues) -> None:
    """Checks that flags which only some modes read are given with one of these.

    Raises:
        UsageError: a flag of another mode.
    """
    for name, modes in FLAGS_OF_MODE.items():
        if flag_values[name].value and flag_values.mode not in modes:
            raise UsageError(
                f"--{name} is for --mode={' or --mode='.join(modes)}; leave it out, or change "
                f"--mode={flag_values.mode}."
            )


def require_folder(name: str, folder: str) -> None:
    """Checks that the path of a flag can be a folder: neither it nor a parent is a file.

    Raises:
        UsageError: one of them is a file.
    """
    for path in (folder, *map(str, Path(folder).parents)):
        # Unlike Path's methods, these do not fail on forbidden folders.
        if os.path.exists(path) and not os.path.isdir(path):  # noqa: PTH110, PTH112
            raise UsageError(f"--{name}={folder} cannot be a folder, because {path} is a file; name another.")


def read_config(workdir: Path) -> ExperimentConfig:
    """Reads the configuration that a run left in its folder.

    Raises:
        UsageError: the file is missing or damaged.
        PermissionError: this user may not read it.
    """
    path = workdir / "config.cfg"
    flag_values = flags.FlagValues()
    define_flags(flag_values)
    try:
        flag_values(["config.cfg", *read_lines(path)])
    except PermissionError:
        raise
    except OSError as error:
        raise UsageError(
            f"There is no run in {workdir}: {path.name} cannot be read ({error.strerror}). "
            "Train one with --mode=train, or name another --workdir."
        ) from error
    except (flags.Error, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is damaged ({error}); train the run again in another --workdir.") from error
    names = {field.name for field in dataclasses.fields(ExperimentConfig)} - {
        *WHERE_AND_HOW,
        *ADDED_UNTIL_0_5,
        *ADDED_SINCE_0_6,
        *ADDED_SINCE_0_7,
    }
    missing = sorted(name for name in names if not flag_values[name].present)
    if missing:
        raise UsageError(f"{path} is damaged (no --{missing[0]}); train the run again in another --workdir.")
    if not flag_values["protocols"].present:
        # Versions without this option used all protocols.
        flag_values.protocols = list(PROTOCOLS)
    return ExperimentConfig(
        **{
            field.name: from_flag_value(field, flag_values[field.name].value)
            for field in dataclasses.fields(ExperimentConfig)
        }
    )


def to_flagfile(config: ExperimentConfig) -> str:
    """The text of a flagfile with the value of every flag."""
    values = {**config.options(), "mode": "train"}
    return "".join(f"--{name}={_to_flag_text(value)}\n" for name, value in values.items())


def require_same_settings(stored: ExperimentConfig, asked: ExperimentConfig) -> None:
    """Refuses to mix two experiments in one folder; the location of the data may differ.

    Raises:
        UsageError: the two differ in anything that defines the outcome.
    """
    before, now = stored.settings(), asked.settings()
    differences = [
        f"--{name}={_to_flag_text(before[name])}"
        for name in before
        if before[name] != now.get(name) and name != "data_dir"
    ]
    if differences:
        raise UsageError(
            f"{asked.folder} holds a run with {' '.join(differences)}, which differs from the flags; give those values "
            "or another --workdir."
        )


def from_flag_value(field: dataclasses.Field, value: Any) -> Any:
    """Converts the value of a flag to that of its field: a list to a tuple, and names of classes to numbers.

    Args:
        field: of `ExperimentConfig`.
        value: as absl gives it.

    Returns:
        The value that the field takes.
    """
    if field.name == "anomaly_classes" and value != EACH:
        return tuple(ClassParser().parse(item) for item in value)
    if field.name == "scales":
        return tuple(_whole_number(item) for item in value)
    if field.name == "image_size":
        return int(value) if str(value).isdecimal() else value
    return tuple(value) if isinstance(value, list) else value


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise UsageError(f"--scales holds '{text}', not a whole number; give numbers such as 1,2,4.") from error


def _to_flag_text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    return str(value).lower() if isinstance(value, bool) else str(value)
