"""`--mode=demo`: opens a local web page that scores images that a user drops on it."""

import os
import tempfile
import threading
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from agad_tf.config.errors import UsageError
from agad_tf.config.experiment import ExperimentConfig
from agad_tf.data.pixel_range import read_pixel_range
from agad_tf.data.readers import limit_pixels
from agad_tf.demo.findings import Detector
from agad_tf.evaluation.results import SCORE_COLUMNS, decision_of, read_results, read_scores
from agad_tf.files.workdir import Workdir
from agad_tf.training.restore import restore

# Turns off Gradio's usage statistics and its search for new versions.
QUIET = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"}


def demo(config: ExperimentConfig) -> None:
    """Serves the page of a finished run until it is interrupted, and then deletes the dropped images.

    Args:
        config: of the run.

    Raises:
        UsageError: Gradio is not installed.
        RunError: the run is not finished or damaged.
        OSError: there is no free port.
    """
    if find_spec("gradio") is None:
        raise UsageError('--mode=demo needs gradio; run: pip install "agad_tf[demo]".')
    detector = read_detector(config)
    with tempfile.TemporaryDirectory(prefix="agad_tf-") as folder:
        os.environ.update(QUIET, GRADIO_TEMP_DIR=str(Path(folder, "dropped")))
        # Gradio reads these variables when it is imported.
        from agad_tf.demo.page import Page  # noqa: PLC0415

        shown = Path(folder, "shown")
        shown.mkdir()
        address = Page(detector, shown, f"Anomalies by {config.folder.name}").launch()
        print(f"Open {address} in a browser on this machine; Ctrl-C ends the demo.", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("The demo has ended, and the dropped images are deleted.")


def read_detector(config: ExperimentConfig) -> Detector:
    """The detector of a finished run, with the scores of its validation images.

    Args:
        config: of the run.

    Returns:
        The detector.

    Raises:
        RunError: the run is not finished or damaged.
    """
    limit_pixels(config.max_megapixels)
    workdir = Workdir(config.folder)
    results = read_results(workdir.results)
    has_scores = workdir.validation_scores.exists()
    return Detector(
        model=restore(config),
        decision=decision_of(results),
        channels=results["channels"],
        map_scale=results["error_map_scale"],
        pixel_range=read_pixel_range(workdir.pixel_range),
        batch_size=config.batch_size,
        validation=read_scores(workdir.validation_scores) if has_scores else pd.DataFrame(columns=SCORE_COLUMNS),
    )
