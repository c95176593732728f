"""Converts the parameters of the estimator to an experiment."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from agad_tf.config.errors import UsageError
from agad_tf.config.experiment import DEFAULTS, ExperimentConfig
from agad_tf.config.recipes import RECIPES

# Words that differ between the command and the estimator.
_OWN_WORDS = (
    (r"--gamma above 0", "y with anomalies"),
    (r"--gamma=0\b(?!\.)", "y"),
    (r"--gamma=(\S+)", r"a share of \1 anomalies in y"),
    (r"--score\b", "residual_norm"),
    (r"=false\b", "=False"),
    (r"--(\w+)", r"\1"),
)


@contextlib.contextmanager
def in_own_words() -> Iterator[None]:
    """Rewrites an error message about flags in terms of parameters."""
    try:
        yield
    except UsageError as error:
        sentence = str(error)
        for flag, word in _OWN_WORDS:
            sentence = re.sub(flag, word, sentence)
        raise UsageError(sentence) from None


def config_of(parameters: Mapping[str, Any], gamma: float, seed: int) -> ExperimentConfig:
    """The experiment of the estimator.

    Args:
        parameters: of `agad_tf.AGADDetector`; None takes the value of the recipe.
        gamma: share of the images that are labelled abnormal.
        seed: of all random choices.

    Raises:
        ValueError: a parameter has an invalid value.
    """
    if parameters["recipe"] not in RECIPES:
        raise ValueError(f"recipe is '{parameters['recipe']}'; choose one of {', '.join(RECIPES)}.")
    # An estimator's `score` is a method.
    named = {"score": "residual_norm"}
    options = {
        name: value_of(parameters, name, named.get(name, name))
        for name in DEFAULTS
        if named.get(name, name) in parameters or name in RECIPES[parameters["recipe"]]
    }
    options["threshold"] = str(options["threshold"])
    for name in ("synthetic_anomalies", "scales"):
        value = options[name]
        options[name] = (value,) if isinstance(value, str | int) else tuple(value)
    return ExperimentConfig(**options, gamma=gamma, seed=seed)


def value_of(parameters: Mapping[str, Any], option: str, parameter: str = "") -> Any:
    """The value of an option: that of its parameter, otherwise the recipe's.

    Args:
        parameters: of `agad_tf.AGADDetector`; the recipe is a known one.
        option: of `ExperimentConfig`.
        parameter: name of the parameter; by default that of the option.
    """
    given = parameters.get(parameter or option)
    return RECIPES[parameters["recipe"]].get(option, DEFAULTS[option]) if given is None else given
