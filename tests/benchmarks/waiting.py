"""Measures which share of a training step's time goes by waiting for its batch, and prints one JSON line.

python -m tests.benchmarks.waiting --batch_size=64
"""

import json
import os
import sys
import time
from collections.abc import Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

from agad_tf.config.choices import SYNTHETIC_ANOMALIES
from agad_tf.data.sources import load_source
from agad_tf.data.splits import one_class_task
from agad_tf.data.training_batches import plan_batches, training_batches
from agad_tf.data.training_inputs import training_inputs
from agad_tf.models.build import build_model
from tests.benchmarks.run_flags import read_flags

WARM_UP, STEPS = 3, 20


def main(arguments: Sequence[str]) -> None:
    # All that a batch can be made of.
    kinds = ",".join(SYNTHETIC_ANOMALIES)
    config, _ = read_flags(__doc__, ["--gamma=0.05", f"--synthetic_anomalies={kinds}", *arguments])
    source = load_source(config.dataset, config.data_dir, config.image_size)
    task = one_class_task(source, 0, config.gamma, (), config.validation_fraction, config.seed)
    plan = plan_batches(task.train, config.batch_size, config.min_anomalies, kinds=config.synthetic_anomalies)
    model = build_model(config, (config.image_size, config.image_size, source.channels))
    step = tf.function(model.train_step)
    batches = iter(training_batches(training_inputs(task.train, config.image_size), plan, epochs=9, seed=0))
    waited = worked = 0.0
    for number in range(WARM_UP + STEPS):
        start = time.perf_counter()
        batch = next(batches)
        has_batch = time.perf_counter()
        float(step(batch)["generator_loss"])
        if number >= WARM_UP:
            waited += has_batch - start
            worked += time.perf_counter() - has_batch
    print(json.dumps({"share": waited / (waited + worked)}))


if __name__ == "__main__":
    main(sys.argv[1:])
