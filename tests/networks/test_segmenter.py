import numpy as np
import pytest

from agad_tf.networks import build_segmenter


@pytest.mark.parametrize("channels", [1, 3])
def test_it_gives_a_logit_for_each_pixel_of_a_pair(channels):
    network = build_segmenter((32, 32, channels), width=1 / 8, seed=0)
    pair = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 2 * channels)).astype(np.float32)
    assert network(pair).shape == (2, 32, 32, 1)
    assert np.abs(network(pair) - network(pair[..., ::-1])).max() > 0


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="multiple of 16"):
        build_segmenter((30, 30, 1))
