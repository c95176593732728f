"""Runs that take seconds, for tests of what happens to them."""

from agad_tf.config.choices import PROTOCOLS
from agad_tf.config.experiment import ExperimentConfig


def digits_run(folder, **options):
    """The configuration of a run on scikit-learn's digits with a few labelled anomalies."""
    return ExperimentConfig(
        **{
            "dataset": "digits",
            "normal_class": 8,
            "image_size": 16,
            "width": 1 / 16,
            "batch_size": 32,
            "min_anomalies": 8,
            "gamma": 0.1,
            "epochs": 2,
            "protocols": PROTOCOLS,
            "workdir": str(folder),
            **options,
        }
    )
