"""Recipes: sets of values for options.

`--recipe` names one; options on the command line or in a flagfile override it.
"""

from typing import Any

from agad_tf.config.choices import PEAK
from agad_tf.config.options import Unsaid

PAPER, OWN_IMAGES = "paper", "own_images"
RECIPES: dict[str, dict[str, Any]] = {
    # The defaults of all options are the paper's.
    PAPER: {},
    # Finds small flaws from normal images alone; the figures are in tests/benchmarks/README.md.
    OWN_IMAGES: {
        "image_size": 256,
        "crop_size": 64,
        "scales": (1, 2, 4),
        "generator": "unet",
        "width": 0.25,
        "contextual_adversarial": False,
        "local_anomalies": 0.8,
        "segmentation": True,
        "light_variation": 0.3,
        "score": PEAK,
        "batch_size": 16,
        "min_anomalies": Unsaid(2),
        "steps_per_epoch": 100,
        "epochs": 12,
        "learning_rate": 1e-3,
        "learning_rate_schedule": "cosine",
        "validation_fraction": 0.2,
    },
}
