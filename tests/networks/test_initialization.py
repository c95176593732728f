import numpy as np
import pytest

from agad_tf.networks import build_generator


def test_initial_weights_are_drawn_as_in_ganomaly():
    network = build_generator("encoder_decoder", seed=3)
    kernels = np.concatenate([v.numpy().ravel() for v in network.variables if v.name == "kernel"])
    scales = np.concatenate([v.numpy().ravel() for v in network.variables if v.name == "gamma"])
    assert abs(kernels.mean()) < 1e-4
    assert kernels.std() == pytest.approx(0.02, rel=0.01)
    assert scales.mean() == pytest.approx(1, abs=0.005)
    assert scales.std() == pytest.approx(0.02, rel=0.15)


def test_seed_fixes_the_initial_weights():
    first, again, other = (build_generator("unet", width=1 / 8, seed=seed).variables for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    # Layers of equal shape must not get equal weights.
    kernels = [v.numpy() for v in first if v.name == "kernel"]
    assert len({kernel.tobytes() for kernel in kernels}) == len(kernels)
