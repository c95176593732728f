import sys

import numpy as np

from agad_tf.training.progress import Progress


def test_progress_counts_steps_that_are_taken_at_a_time(build_model, monkeypatch):
    # Where output is no terminal there is no bar.
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    model = build_model(compiled=False)
    model.compile(steps_per_execution=2, jit_compile=False)
    progress = Progress(steps_per_epoch=4, epochs=2)
    images = np.zeros((8, 16, 16, 1), np.float32)
    model.fit(images, batch_size=2, epochs=2, verbose=0, callbacks=[progress])
    assert progress.bar.n == 8
