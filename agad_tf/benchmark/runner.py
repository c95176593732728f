"""Runs a sweep, each experiment in a separate process, and keeps its tables up to date.

Several processes, on one machine or on several that share the folder, may run the same sweep: each locks the experiment
    that it runs. Finished experiments are never repeated, and interrupted ones continue from their last checkpoint.
"""

import ctypes
import functools
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout
from rich.console import Console
from rich.markdown import Markdown
from tqdm import tqdm

from agad_tf.benchmark.sweep import Sweep
from agad_tf.benchmark.tables import HTML_NAME, write_tables
from agad_tf.config.errors import RunError
from agad_tf.config.experiment import ExperimentConfig
from agad_tf.config.flags import to_flagfile
from agad_tf.config.options import Unsaid
from agad_tf.evaluation.results import read_results
from agad_tf.files.workdir import Workdir

COMMAND = (sys.executable, "-m", "agad_tf.main")
POLL_SECONDS = 0.2
# Seconds after which an experiment that was asked to end is killed.
PATIENCE_SECONDS = 120

# On Linux, the system kills an experiment whose benchmark was killed, so that the same command finds its folder
# unlocked.
_PR_SET_PDEATHSIG = 1
_END_WITH_PARENT = (
    functools.partial(ctypes.CDLL(None).prctl, _PR_SET_PDEATHSIG, signal.SIGKILL) if sys.platform == "linux" else None
)


class BudgetUsedUpError(Exception):
    """The time budget is used up."""


def benchmark(sweep: Sweep) -> None:
    """Runs all unfinished experiments, and writes the tables after every run.

    Args:
        sweep: the experiments.

    Raises:
        RunError: experiments failed; the others have been run as far as the budget allowed.
    """
    sweep.folder.mkdir(parents=True, exist_ok=True)
    for sentence in sweep.left_out:
        tqdm.write(f"Left out: {sentence}")
    deadline = time.monotonic() + sweep.budget
    failed: list[ExperimentConfig] = []
    finished = sum(_is_finished(experiment) for experiment in sweep.experiments)
    with tqdm(total=len(sweep.experiments), initial=finished, desc="benchmark", unit="run", disable=None) as bar:
        try:
            for experiment in _not_yet_taken(sweep):
                bar.set_postfix_str(experiment.folder.name)
                if not _run(experiment, deadline):
                    failed.append(experiment)
                else:
                    _write_tables(sweep)
                bar.update(sum(map(_is_finished, sweep.experiments)) - bar.n)
        except BudgetUsedUpError:
            bar.write("The budget is used up; the same command continues from here.")
    _report(sweep, failed)


def _not_yet_taken(sweep: Sweep) -> Iterator[ExperimentConfig]:
    """Every experiment, locked, that is neither finished nor running elsewhere when its turn comes."""
    for experiment in sweep.experiments:
        experiment.folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(f"{experiment.folder}.lock", timeout=0):
                if not _is_finished(experiment):
                    yield experiment
        except Timeout:
            continue


def _is_finished(experiment: ExperimentConfig) -> bool:
    return Workdir(experiment.folder).results.exists()


def _run(experiment: ExperimentConfig, deadline: float) -> bool:
    """Runs one experiment; its output goes to a log beside its folder.

    Returns:
        Whether it finished.

    Raises:
        BudgetUsedUpError: it was interrupted or not begun, because no time is left.
    """
    if time.monotonic() > deadline:
        raise BudgetUsedUpError
    lines = to_flagfile(experiment).splitlines()
    if isinstance(experiment.normal_class, Unsaid):
        # Then the run reports an error if the normal class is not clear.
        lines = [line for line in lines if not line.startswith("--normal_class=")]
    command = [*COMMAND, *lines]
    with _log(experiment).open("a", encoding="utf-8") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=_END_WITH_PARENT,  # noqa: PLW1509 - a single system call
        )
        try:
            while process.poll() is None:
                if time.monotonic() > deadline:
                    raise BudgetUsedUpError
                time.sleep(POLL_SECONDS)
        finally:
            # After the budget, Ctrl-C or any error, no process may keep running. Training ends between two steps.
            # SIGTERM is used because background processes ignore SIGINT.
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(PATIENCE_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
    return process.returncode == 0


def _write_tables(sweep: Sweep) -> str:
    """Writes the tables again from the results of all finished runs in the folder.

    So no run occurs twice, and another sweep in the same folder adds to the tables.
    """
    with FileLock(sweep.folder / "tables.lock"):
        results = []
        for path in (Workdir(folder).results for folder in sorted(sweep.experiments[0].folder.parent.iterdir())):
            try:
                if path.exists():
                    results.append(read_results(path, oldest=1))
            except RunError as error:
                tqdm.write(f"Left out of the tables: {error}")
        return write_tables(results, _progress(sweep), sweep.folder) if results else ""


def _progress(sweep: Sweep) -> str:
    return f"{sum(map(_is_finished, sweep.experiments))} of {len(sweep.experiments)} runs are finished."


def _report(sweep: Sweep, failed: list[ExperimentConfig]) -> None:
    if tables := _write_tables(sweep):
        Console().print(Markdown(tables))
        print(f"{_progress(sweep)} See {sweep.folder / HTML_NAME}.")
    if failed:
        names = ", ".join(experiment.folder.name for experiment in failed)
        raise RunError(
            f"{len(failed)} of {len(sweep.experiments)} runs failed ({names}); see the last lines of "
            f"{_log(failed[0])}. The same command tries them again."
        )


def _log(experiment: ExperimentConfig) -> Path:
    return experiment.folder.with_name(experiment.folder.name + ".log")
