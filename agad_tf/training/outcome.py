"""The files that a measured run writes: scores, summaries, report and figures."""

import os
from collections.abc import Iterable
from pathlib import Path

from agad_tf.config.choices import OWN_SETS
from agad_tf.config.experiment import ExperimentConfig
from agad_tf.config.seconds import CLOCK
from agad_tf.data.images_in_files import Pictures
from agad_tf.data.sources import Source
from agad_tf.data.splits import OneClassTask
from agad_tf.evaluation.brightness import brightness_warning
from agad_tf.evaluation.measurement import Measurement
from agad_tf.evaluation.results import results_of, write_results, write_scores
from agad_tf.files.workdir import Workdir
from agad_tf.models.agad import AGAD
from agad_tf.reporting.report import write_report
from agad_tf.reporting.tensorboard import write_test_summaries
from agad_tf.reporting.terminal_table import print_table


def write_outcome(
    workdir: Workdir,
    config: ExperimentConfig,
    source: Source,
    task: OneClassTask,
    measured: Measurement,
    seconds: float,
    warnings: Iterable[str] = (),
    model: AGAD | None = None,
    epochs_trained: float | None = None,
) -> None:
    """Writes both tables of scores, TensorBoard's summaries, report.html and results.json, and prints the table.

    results.json comes last: a run that has it is finished.

    Args:
        workdir: of the run.
        config: the experiment.
        source: the data set.
        task: its images.
        measured: the figures.
        seconds: spent on training.
        warnings: what a user should know of the run, each a sentence.
        model: as the last epoch left it; None for a baseline.
        epochs_trained: steps taken, in epochs; None for a baseline.
    """
    of_brightness = brightness_warning(task) if config.dataset in OWN_SETS else None
    all_warnings = [*warnings, *([of_brightness] if of_brightness else [])]
    results = results_of(config.settings_read(), source, measured, seconds, all_warnings, epochs_trained)
    write_scores(workdir.scores, task.test, measured.test_scores, source.test_names)
    write_scores(workdir.validation_scores, task.validation, measured.validation_scores, _held_out_names(source))
    write_test_summaries(
        workdir.tensorboard,
        workdir.root.name,
        config.settings(),
        task.test,
        measured.test_scores,
        measured.protocols["per_image"],
        model,
    )
    write_report(workdir, source, task, results, config.options(), model)
    results["seconds_by_part"] = {part: round(spent, 2) for part, spent in CLOCK.seconds_by_part().items()}
    write_results(workdir.results, results)
    print_table(results)


def _held_out_names(source: Source) -> list[str]:
    """Names of the images that validation images come from, by position; empty if they are not files."""
    images = source.x_train if source.x_val is None else source.x_val
    origin = Path(source.origin)
    root = origin if origin.is_dir() else origin.parent
    return [os.path.relpath(path, root) for path in images.paths] if isinstance(images, Pictures) else []
