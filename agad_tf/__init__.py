"""AGAD: adversarial generative anomaly detection for images (arXiv 2304.04211).

The public names are loaded on first use, so that `agad_tf.main --help` does not load TensorFlow. Type checkers see
plain imports.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agad_tf.config.experiment import ExperimentConfig
    from agad_tf.estimator import AGADDetector
    from agad_tf.models.agad import AGAD
    from agad_tf.networks import build_discriminator, build_generator

from agad_tf.config.keras_registration import register_with_keras
from agad_tf.config.onednn import enable_onednn

__version__ = "0.7.0"

__all__ = ["AGAD", "AGADDetector", "ExperimentConfig", "__version__", "build_discriminator", "build_generator"]

_MODULE_OF = {
    "AGAD": "agad_tf.models.agad",
    "AGADDetector": "agad_tf.estimator",
    "ExperimentConfig": "agad_tf.config.experiment",
    "build_discriminator": "agad_tf.networks",
    "build_generator": "agad_tf.networks",
}


if not TYPE_CHECKING:  # with this in sight a type checker would let any name pass

    def __getattr__(name: str) -> Any:
        if name not in _MODULE_OF:
            raise AttributeError(f"module 'agad_tf' has no attribute '{name}'; it has {', '.join(__all__)}")
        return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})


enable_onednn()
register_with_keras()
