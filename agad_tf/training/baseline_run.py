"""The run of a baseline: fitted, measured and reported, without a detector to export."""

import time

from agad_tf.config.experiment import ExperimentConfig
from agad_tf.config.seconds import CLOCK
from agad_tf.evaluation.measurement import measure_baseline
from agad_tf.files.workdir import Workdir
from agad_tf.models.baselines import baseline_scores, require_labels
from agad_tf.training.images import load_images, normals_alone
from agad_tf.training.outcome import write_outcome
from agad_tf.training.run_folder import used_by_this_process_alone, write_set_up


def run_baseline(config: ExperimentConfig) -> None:
    """Fits a baseline and measures it; a finished run is repeated.

    Args:
        config: the experiment; its method is one of `agad_tf.config.choices.BASELINES`.
    """
    workdir = Workdir(config.folder)
    source, task = load_images(config)
    require_labels(config.method, source)
    with used_by_this_process_alone(workdir):
        write_set_up(workdir, config, source)
        if not task.has_test_anomalies:
            print(normals_alone(task))
        began = time.monotonic()
        with CLOCK.within("baseline"):
            scores = baseline_scores(config.method, source, task, source.image_size, config.width, config.seed)
        seconds = time.monotonic() - began
        measured = measure_baseline(
            source,
            task,
            *scores,
            threshold=config.threshold,
            anomaly_classes=config.anomaly_classes,
            seed=config.seed,
        )
        write_outcome(workdir, config, source, task, measured, seconds)
    print(f"The figures are in {workdir.results}; read {workdir.report}.")
