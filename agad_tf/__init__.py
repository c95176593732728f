"""AGAD: adversarial generative anomaly detection for images (arXiv 2304.04211).

The public names are loaded on first use, so that `agad_tf.main --help` answers without TensorFlow.
"""

from importlib import import_module
from typing import Any

from agad_tf.models.registration import register_classes, register_with_keras

__version__ = "0.6.0"

_HOME_OF = {
    "AGAD": "agad_tf.models.agad",
    "AGADDetector": "agad_tf.estimator",
    "ExperimentConfig": "agad_tf.config.experiment",
    "build_discriminator": "agad_tf.networks",
    "build_generator": "agad_tf.networks",
}
__all__ = ["AGAD", "AGADDetector", "ExperimentConfig", "__version__", "build_discriminator", "build_generator"]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'agad_tf' has no attribute '{name}'; it has {', '.join(__all__)}")
    found = getattr(import_module(_HOME_OF[name]), name)
    if name != "ExperimentConfig":
        register_classes()
    return found


register_with_keras()
