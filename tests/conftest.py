import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
import tensorflow as tf

from agad_tf.data.splits import OneClassTask, Split
from agad_tf.evaluation.scorer import Scorer
from agad_tf.models.agad import AGAD
from agad_tf.networks import build_discriminator, build_generator
from agad_tf.reporting.tensorboard import Summaries
from agad_tf.training.epoch_scores import EpochScores

SIZE = 16
# Files and folders whose tests take long. .ci/run runs them after all others.
SLOW = (
    *("benchmarks/test_field_tools.py", "benchmarks/test_own_images.py", "benchmarks/test_strip.py"),
    *("end_to_end/test_benchmark.py", "end_to_end/test_commands_of_readmes.py", "end_to_end/test_disk.py"),
    *("end_to_end/test_distribution.py", "end_to_end/test_good_images_alone.py", "end_to_end/test_interruption.py"),
    *("end_to_end/test_own_images.py", "end_to_end/test_recipe_for_own_images.py", "models/test_keras_contract.py"),
    *("models/test_segmenting_agad.py", "models/test_tiles.py", "serving/test_onnx_litert.py"),
    *("soak/test_field_tools.py", "test_docstring_examples.py", "test_versions.py"),
    *("training/test_checkpoints_of_three_networks.py", "training/test_distribution.py", "training/test_field_run.py"),
)

# For tests of replicas; nothing else uses more than the first.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration() for _ in range(4)]
)

# The order that sums are taken in goes with the number of threads, and a ReLU's kink may lie between two orders: what
# tests compare closely is to be the same on machines of any number of cores.
tf.config.threading.set_intra_op_parallelism_threads(2)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Marks the tests of `SLOW`."""
    for item in items:
        if item.path.relative_to(Path(__file__).parent).as_posix() in SLOW:
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def build_model():
    """A function that builds the smallest AGAD there is; keyword arguments go to the constructor."""

    def build(compiled=True, normalization="batch", dtype_policy="float32", **options):
        keras.utils.set_random_seed(0)
        shape = (SIZE, SIZE, 1)
        model = AGAD(
            build_generator(
                "encoder_decoder", shape, width=1 / 8, normalization=normalization, seed=1, dtype_policy=dtype_policy
            ),
            build_discriminator(shape, width=1 / 8, normalization=normalization, seed=2, dtype_policy=dtype_policy),
            **options,
        )
        if compiled:
            # Eager steps: for one step of a tiny network, tracing would take most of the time.
            model.compile(run_eagerly=True)
        return model

    return build


@pytest.fixture
def batch():
    """Eight random images in [-1, 1] and their labels, six normal ones and two anomalies."""
    images = np.random.default_rng(0).uniform(-1, 1, (8, SIZE, SIZE, 1)).astype(np.float32)
    return images, np.array([0, 0, 1, 0, 0, 1, 0, 0], np.float32)


@pytest.fixture
def task():
    """A task of a few random images."""
    rng = np.random.default_rng(0)

    def split(normals, anomalies):
        images = rng.integers(0, 256, (normals + anomalies, 16, 16, 1), np.uint8)
        return Split(images, np.repeat([0, 1], [normals, anomalies]).astype(np.int32), np.arange(normals + anomalies))

    return OneClassTask(train=split(8, 4), validation=split(6, 5), test=split(6, 6))


@pytest.fixture
def fitted(build_model, task, batch, tmp_path):
    """A model after two epochs with scores and summaries, and what Keras has recorded of them."""
    model = build_model()
    epoch_scores = EpochScores(task, Scorer(model, 4), tmp_path / "family.npz")
    callbacks = [epoch_scores, Summaries(tmp_path / "tensorboard", task, lambda: epoch_scores.validation_scores)]
    history = model.fit(*batch, batch_size=8, epochs=2, verbose=0, callbacks=callbacks).history
    return model, history


@pytest.fixture
def as_nobody():
    """Runs a test as a user whom permissions bind, where it is run as one whom they do not."""
    superuser = os.geteuid() == 0
    if superuser:
        os.seteuid(65534)
    yield
    if superuser:
        os.seteuid(0)
