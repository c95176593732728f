"""Scores the same images by Beam on several engines, and compares what each has written with DirectRunner's rows.

python -m tests.benchmarks.beam_engine --input='photos/*.png' --model=runs/photos/saved_model

direct       Beam's DirectRunner, in the process of the command
processes    DirectRunner with two worker processes
job_server   Beam's Python job server and a pool of two worker processes: the protocol of Flink and Spark
dask         Dask with two worker processes; needs pip install "apache-beam[dask]"
"""

import argparse
import contextlib
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from apache_beam.portability.api import beam_job_api_pb2
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.runners.portability.local_job_service import BeamJob, LocalJobServicer
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer

WORKERS = 2
# Batches differ from engine to engine, and with them the order of sums.
ROUNDING = 1e-5


class Row(NamedTuple):
    """What was said of one image."""

    score: float
    is_anomaly: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True, help="file pattern, as of agad_tf.beam")
    parser.add_argument("--model", required=True, help="SavedModel folder")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=["processes", "job_server"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        expected: dict[str, Row] = {}
        for engine in dict.fromkeys(["direct", *options.engines]):
            folder = Path(scratch) / engine
            with ENGINES[engine]() as arguments:
                began = time.monotonic()
                command = [sys.executable, "-m", "agad_tf.beam", f"--input={options.input}", f"--model={options.model}"]
                done = subprocess.run(
                    [*command, f"--output={folder}/scores", *arguments], capture_output=True, text=True, check=False
                )
            seconds = time.monotonic() - began
            rows = rows_of(folder)
            expected = expected or rows
            said = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()[-1]
            print(f"{engine}: {seconds:.0f} s; {compared(rows, expected)}; {said}", flush=True)


def rows_of(folder: Path) -> dict[str, Row]:
    """The rows of all shards by the image's name."""
    lines = [line for path in sorted(folder.glob("*.csv")) for line in csv.DictReader(path.open())]
    return {line["id"]: Row(float(line["score"]), line["is_anomaly"]) for line in lines}


def compared(rows: dict[str, Row], expected: dict[str, Row]) -> str:
    """Whether rows are those that were expected, to rounding, and by how much scores differ."""
    if rows.keys() != expected.keys():
        return f"NOT EQUAL: {len(rows)} rows in place of {len(expected)}"
    verdicts = sum(rows[name].is_anomaly != expected[name].is_anomaly for name in expected)
    difference = max(abs(rows[name].score / expected[name].score - 1) for name in expected)
    equal = "equal" if verdicts == 0 and difference < ROUNDING else "NOT EQUAL"
    return f"{equal}: {len(rows)} rows, scores differ by {difference:.1g} at most, {verdicts} verdicts differ"


@contextlib.contextmanager
def direct() -> Iterator[list[str]]:
    yield []


@contextlib.contextmanager
def processes() -> Iterator[list[str]]:
    yield [f"--direct_num_workers={WORKERS}", "--direct_running_mode=multi_processing"]


class JobOfSeveralWorkers(BeamJob):
    """A job of Beam's Python job server, which by itself knows one worker."""

    def _invoke_runner(self):
        self.set_state(beam_job_api_pb2.JobState.RUNNING)
        runner = FnApiRunner(provision_info=self._provision_info)
        runner._num_workers = WORKERS
        return runner.run_via_runner_api(self._pipeline_proto, self.pipeline_options())


@contextlib.contextmanager
def job_server() -> Iterator[list[str]]:
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # workers are "python"
    jobs = LocalJobServicer(beam_job_type=JobOfSeveralWorkers)
    port = jobs.start_grpc_server()
    pool_address, pool = BeamFnExternalWorkerPoolServicer.start(use_process=True)
    try:
        yield [
            *("--runner=PortableRunner", f"--job_endpoint=localhost:{port}"),
            *("--environment_type=EXTERNAL", f"--environment_config={pool_address}"),
        ]
    finally:
        jobs.stop()
        pool.stop(1)


@contextlib.contextmanager
def dask() -> Iterator[list[str]]:
    try:
        from dask.distributed import LocalCluster
    except ModuleNotFoundError:
        sys.exit('Dask is not installed; install it with: pip install "apache-beam[dask]"')
    with LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None) as cluster:
        yield [
            "--runner=apache_beam.runners.dask.dask_runner.DaskRunner",
            f"--dask_client_address={cluster.scheduler_address}",
        ]


ENGINES = {engine.__name__: engine for engine in (direct, processes, job_server, dask)}


if __name__ == "__main__":
    main()
