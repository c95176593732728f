"""Ranges of pixels that are given to a detector: faults of whole kinds that users have met."""

import re
import warnings

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from agad_tf import AGADDetector
from agad_tf.data.pixel_range import PixelRange
from agad_tf.evaluation.thresholds import Decision
from agad_tf.serving.saved_model import export_saved_model

RNG = np.random.default_rng(0)
DEEP = RNG.integers(0, 4096, (3, 16, 16, 1)).astype(np.uint16)


@pytest.fixture
def exported(build_model, tmp_path):
    path = tmp_path / "saved_model"
    export_saved_model(build_model(compiled=False), Decision(1.0, "", 1.0, 1.0, ""), path, PixelRange(12))
    return tf.saved_model.load(str(path))


def test_depth_is_kept_in_the_saved_model(exported):
    expected = exported.serve((DEEP >> 4).astype(np.uint8))["score"].numpy()
    np.testing.assert_array_equal(exported.serve(DEEP)["score"].numpy(), expected)
    assert exported.pixel_range.numpy().tolist() == [12, 0, 0]


def test_depth_is_kept_for_encoded_images(exported, tmp_path):
    shallow = (DEEP >> 4).astype(np.uint8)
    encoded = [tf.io.encode_png(each).numpy() for each in (*DEEP, *shallow)]
    scores = exported.serve_bytes(encoded)["score"].numpy()
    np.testing.assert_allclose(scores[:3], scores[3:], rtol=1e-6)
    Image.fromarray(shallow[0, ..., 0]).save(tmp_path / "a.bmp")
    assert exported.serve_bytes([(tmp_path / "a.bmp").read_bytes()])["score"].numpy() == pytest.approx(scores[0])


@pytest.mark.parametrize(("scale", "warned"), [(1 / 4095, True), (1 / 16, False), (0, False)])
def test_ranges_of_0_to_1_are_warned_of_by_the_saved_model(exported, capfd, scale, warned):
    exported.serve((DEEP * scale).astype(np.float32))
    said = capfd.readouterr().err
    warning = r"largest pixel value of these images is .* multiply images of 0 to 1 by 255"
    assert bool(re.search(warning, said)) == warned


IMAGES = RNG.integers(0, 256, (24, 16, 16), np.uint8)


@pytest.fixture(scope="module")
def detectors():
    options = {"recipe": "paper", "epochs": 1, "width": 0.125, "image_size": 16, "random_state": 0}
    return {"bytes": AGADDetector(**options).fit(IMAGES), "shares": AGADDetector(**options).fit(IMAGES / 255)}


@pytest.mark.parametrize(("fitted", "scale"), [("bytes", 1 / 255), ("bytes", np.uint16(257)), ("shares", 1)])
@pytest.mark.parametrize("method", ["predict", "score_samples", "predict_proba", "decision_function"])
def test_ranges_unlike_those_in_fit_are_warned_of_by_the_estimator(detectors, fitted, scale, method):
    with pytest.warns(UserWarning, match=r"The largest value of X is (1|255|65535),"):
        getattr(detectors[fitted], method)(IMAGES * scale)


@pytest.mark.parametrize(("fitted", "scale"), [("bytes", 1), ("bytes", 0), ("bytes", 0.1), ("shares", 1 / 255)])
def test_ranges_as_in_fit_are_not_warned_of(detectors, fitted, scale):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        detectors[fitted].predict(IMAGES * scale)
