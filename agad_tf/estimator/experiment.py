"""From the parameters of the estimator to an experiment."""

from collections.abc import Mapping
from typing import Any

from agad_tf.config.choices import RESIDUAL_NORMS
from agad_tf.config.experiment import DEFAULTS, ExperimentConfig


def config_of(parameters: Mapping[str, Any], gamma: float, seed: int) -> ExperimentConfig:
    """The experiment that the estimator carries out.

    Args:
        parameters: of `agad_tf.AGADDetector`.
        gamma: share of the images that are labelled abnormal.
        seed: of all that is drawn.

    Raises:
        ValueError: a parameter has a value that it cannot have.
    """
    options = {name: value for name, value in parameters.items() if name in DEFAULTS}
    # An estimator's `score` is a method.
    options["score"] = parameters["residual_norm"]
    if options["score"] not in RESIDUAL_NORMS:
        raise ValueError(
            f"residual_norm is '{options['score']}'; choose one of {', '.join(RESIDUAL_NORMS)}. Other scores are those "
            "of the command: python -m agad_tf.main --recipe=own_images."
        )
    kinds = options["synthetic_anomalies"]
    options["synthetic_anomalies"] = (kinds,) if isinstance(kinds, str) else tuple(kinds or ())
    return ExperimentConfig(**{**options, "threshold": str(options["threshold"])}, gamma=gamma, seed=seed)
