"""The devices that train, on one machine or several, and what each worker may write."""

import contextlib
import json
import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import tensorflow as tf

from agad_tf.config.errors import RunError, UsageError
from agad_tf.config.onednn import kernels
from agad_tf.models.agad import AGAD


def build_strategy(strategy: str, devices: Sequence[str]) -> tf.distribute.Strategy:
    """Returns TensorFlow's distribution strategy for the devices that the flags name.

    Must come before TensorFlow touches a device: `--devices=CPU:0,CPU:1` divides the processor in two.

    Args:
        strategy: "auto", "none", "mirrored" or "multi_worker".
        devices: names such as "GPU:0"; empty means all GPUs, or the processor.

    Returns:
        MultiWorkerMirroredStrategy, MirroredStrategy, OneDeviceStrategy, or the default without any.

    Raises:
        UsageError: there is no such device, or no cluster.
    """
    if _in_cluster(strategy, devices):
        return tf.distribute.MultiWorkerMirroredStrategy()
    found = _logical_devices(devices)
    if strategy == "mirrored" or (strategy == "auto" and len(found) > 1):
        return mirrored(found)
    return tf.distribute.OneDeviceStrategy(found[0]) if devices else tf.distribute.get_strategy()


def mirrored(devices: list[str]) -> tf.distribute.MirroredStrategy:
    """MirroredStrategy on devices of one machine, such as "GPU:0"."""
    if devices[0].startswith("CPU"):
        # For parts of one processor, plain sums replace messages between devices.
        return tf.distribute.MirroredStrategy(devices, tf.distribute.ReductionToOneDevice())
    return tf.distribute.MirroredStrategy(devices)


def is_chief(strategy: str, devices: Sequence[str]) -> bool:
    """Whether this process writes files: it is the only one, or the chief of its cluster.

    Args:
        strategy: as in `build_strategy`.
        devices: as in `build_strategy`.

    Raises:
        UsageError: there is no cluster.
    """
    if not _in_cluster(strategy, devices):
        return True
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    first = "chief" if "chief" in resolver.cluster_spec().jobs else "worker"
    return (resolver.task_type, resolver.task_id) == (first, 0)


def require_one_clock(budget: float, strategy: str, devices: Sequence[str]) -> None:
    """Refuses a time budget for several machines, because their clocks would end training at different steps.

    Args:
        budget: seconds; infinity means none.
        strategy: as in `build_strategy`.
        devices: as in `build_strategy`.

    Raises:
        UsageError: there is a budget, and this process is part of a cluster.
    """
    if budget < math.inf and _in_cluster(strategy, devices):
        raise UsageError(
            "--budget works on one machine only, because several machines have different clocks; leave it out, or give "
            "--strategy=none to train on this machine only."
        )


def require_same_epoch(strategy: tf.distribute.Strategy, epoch: int) -> None:
    """Ends a run whose workers would continue from different epochs, and would wait for each other forever.

    Raises:
        RunError: this worker's epoch differs from the others'.
    """
    mean = strategy.reduce("MEAN", strategy.run(lambda: tf.constant(epoch, tf.float32)), axis=None)
    if float(mean) != epoch:
        raise RunError(
            f"This worker would continue after epoch {epoch}, but others after a different epoch; put --workdir on a "
            "folder that all workers see, and start all of them again."
        )


@contextlib.contextmanager
def folder_to_write(folder: Path, chief: bool) -> Iterator[Path]:
    """The folder of the run for the chief, and a temporary folder for all other workers.

    All workers make the same calls, because saving shared variables takes all of them, but only one set of files is
    kept.

    Args:
        folder: of the run.
        chief: whether this process is the chief, see `is_chief`.

    Yields:
        The folder.
    """
    if chief:
        yield folder
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield Path(scratch)


def describe(model: AGAD) -> str:
    """One line about the devices, and whether XLA compiles."""
    replicas = model.distribute_strategy.num_replicas_in_sync
    return ", ".join(
        [
            f"Training on {'GPU' if model.trains_on_gpu else 'CPU'}",
            f"{replicas} replica{'s' if replicas > 1 else ''}",
            *(["synchronized batch normalization"] if model.shares_statistics else []),
            "compiled by XLA" if model.compiles_gradients else f"{kernels()} without XLA",
            f"{model.steps_per_execution} steps at a time" if model.steps_per_execution > 1 else "step by step",
        ]
    )


def _in_cluster(strategy: str, devices: Sequence[str]) -> bool:
    description = os.environ.get("TF_CONFIG", "")
    if strategy != "multi_worker" and not (strategy == "auto" and description):
        return False
    if devices:
        raise UsageError(
            "The environment variable TF_CONFIG makes this process part of a cluster, which trains on all devices of "
            "every machine; leave --devices out, or give --strategy=mirrored or none to train here alone."
        )
    try:
        content = json.loads(description)
        address = content["cluster"][content["task"]["type"]][int(content["task"]["index"])]
    except (ValueError, KeyError, TypeError, IndexError):
        address = None
    if not isinstance(address, str):
        raise UsageError(
            "To train on several machines, each process needs the environment variable TF_CONFIG, such as "
            '{"cluster": {"worker": ["host1:12345", "host2:12345"]}, "task": {"type": "worker", "index": 0}}; '
            f"it is {description or 'not set'}. flags/README.md explains how to start a cluster."
        )
    return True


def _logical_devices(names: Sequence[str]) -> list[str]:
    processors = [int(name.removeprefix("CPU:")) for name in names if name.startswith("CPU:")]
    if processors and max(processors) > 0:
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration() for _ in range(max(processors) + 1)],
        )
    available = [device.name.removeprefix("/device:") for device in tf.config.list_logical_devices()]
    missing = [name for name in names if name not in available]
    if missing:
        raise UsageError(f"There is no device {missing[0]}; this machine has {', '.join(available)}.")
    return list(names) or [name for name in available if name.startswith("GPU")] or ["CPU:0"]
