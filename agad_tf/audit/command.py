"""The audit: how much a model's score of an image depends on the other images in its batch.

A detector that uses batch statistics, on batches ordered by label, can infer the label from the batch. Its figures then
look better than those of a user who scores one image at a time. The audit detects this in any model that scores images,
by scoring each image alone and among others.
"""

import csv
import dataclasses
import json
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.table import Table

from agad_tf.audit.findings import Audit, Condition
from agad_tf.audit.measure import measure_batch_dependence
from agad_tf.audit.page import audit_page
from agad_tf.audit.scoring_models import load_scoring_model, usual_range
from agad_tf.config.experiment import ExperimentConfig
from agad_tf.evaluation.results import versions
from agad_tf.files.whole_files import write_whole
from agad_tf.training.images import load_images

SCHEMA_VERSION = 1
DEFAULT_FOLDER = "runs/audit"


def audit(config: ExperimentConfig, model: str, training_mode: bool, input_range: str | None = None) -> None:
    """Audits a model: writes audit.json, audit.csv and audit.html, and prints the table and the verdict.

    Args:
        config: with the test set, the folder to write to (by default `DEFAULT_FOLDER`), and the seed.
        model: path, see `load_scoring_model`.
        training_mode: see `load_scoring_model`.
        input_range: see `load_scoring_model`.

    Raises:
        UsageError: there is no such model, or the model or the test set is unsuitable.
        RunError: the model is damaged or fails.
    """
    input_range = input_range or usual_range(Path(model))
    score = load_scoring_model(Path(model), training_mode, input_range)
    found = measure_batch_dependence(score, load_images(config)[1].test, config.seed)
    workdir = Path(config.workdir or DEFAULT_FOLDER)
    workdir.mkdir(parents=True, exist_ok=True)
    setting = {
        "model": model,
        "training_mode": training_mode,
        "input_range": input_range,
        "dataset": config.dataset,
        "normal_class": config.normal_class,
    }
    record = {
        "schema_version": SCHEMA_VERSION,
        "verdict": found.verdict,
        "depends": found.depends,
        **setting,
        **dataclasses.asdict(found),
        "versions": versions(),
    }
    page = audit_page(found, setting)
    write_whole(workdir / "audit.json", lambda file: file.write(json.dumps(record, indent=2) + "\n"))
    write_whole(workdir / "audit.csv", lambda file: _write_csv(file, found))
    write_whole(workdir / "audit.html", lambda file: file.write(page))
    _print_table(found)
    print(f"{found.verdict}\n{workdir / 'audit.html'} shows how it was measured.")


def _write_csv(file: TextIO, found: Audit) -> None:
    writer = csv.DictWriter(file, [field.name for field in dataclasses.fields(Condition)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(dataclasses.asdict, found.conditions))


def _print_table(found: Audit) -> None:
    table = Table(title="An image's score by its batch")
    table.add_column("batch")
    for title in ("size", "images", "AUROC in %", "the same alone", "median change", "largest, in SD"):
        table.add_column(title, justify="right")
    for row in found.conditions:
        aurocs = (f"{100 * auroc:.1f}" for auroc in (row.auroc, row.auroc_alone))
        changes = (f"{change:.2g}" for change in (row.median_change, row.largest_change))
        table.add_row(row.condition, str(row.batch_size), str(row.images), *aurocs, *changes)
    Console().print(table)
