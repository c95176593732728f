"""The estimator with the recipe that it takes without being asked, at its smallest size."""

import pickle

import numpy as np
import pytest

from agad_tf import AGADDetector
from agad_tf.estimator.detector_files import read_detector
from agad_tf.estimator.input_arrays import divide
from agad_tf.models.segmenting_agad import SegmentingAGAD

TINY = {"width": 1 / 16, "image_size": 32, "crop_size": 16, "epochs": 1, "steps_per_epoch": 3, "batch_size": 8}


@pytest.fixture(scope="module")
def images():
    """Slopes of 32 by 48 pixels with some noise."""
    rng = np.random.default_rng(0)
    return (np.linspace(20, 220, 48) + rng.uniform(-20, 20, (30, 32, 48))).astype(np.uint8)


@pytest.fixture(scope="module")
def detector(images):
    return AGADDetector(**TINY, random_state=0).fit(images)


def test_it_trains_on_parts_and_scores_whole_images_in_their_shape(detector, images):
    assert isinstance(detector.model_, SegmentingAGAD)
    assert detector.model_.image_shape == (16, 16, 1)
    assert detector.model_.scoring_shape == (16, 32, 1)
    assert np.isfinite(detector.score_samples(images)).all()
    assert set(detector.predict(images)) <= {-1, 1}


def test_what_is_usual_comes_from_images_that_neither_train_nor_choose_the_threshold(images):
    labels = np.repeat([0, 1], [20, 10])
    parts = divide(images, labels, 0.2, 0, with_reference=True)
    assert np.bincount(parts[1].labels).tolist() == [2, 2]
    assert np.bincount(parts[2].labels).tolist() == [2]
    assert sorted(np.concatenate([part.ids for part in parts])) == list(range(30))


@pytest.mark.usefixtures("eager")
def test_two_images_are_enough(images):
    fitted = AGADDetector(**TINY, random_state=0).fit(images[:2])
    assert np.isfinite(fitted.score_samples(images)).all()


def test_it_is_saved_in_the_folder_of_the_user(detector, images, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    detector.save("~/detectors/one")
    assert (tmp_path / "detectors" / "one" / "model.keras").exists()
    again = AGADDetector.load("~/detectors/one")
    np.testing.assert_array_equal(again.score_samples(images), detector.score_samples(images))


def test_it_is_saved_and_loaded_to_the_bit(detector, images, tmp_path):
    detector.save(tmp_path)
    for again in (AGADDetector.load(tmp_path), pickle.loads(pickle.dumps(detector))):
        np.testing.assert_array_equal(again.score_samples(images), detector.score_samples(images))
        assert again.get_params() == detector.get_params()


def test_a_detector_of_a_version_without_recipes_keeps_the_papers_defaults(detector, tmp_path, monkeypatch):
    detector.save(tmp_path)
    model, facts = read_detector(tmp_path)
    del facts["parameters"]["recipe"]
    monkeypatch.setattr("agad_tf.estimator.detector.read_detector", lambda folder: (model, facts))
    assert AGADDetector.load(tmp_path).recipe == "paper"
    state = {name: value for name, value in detector.__getstate__().items() if name not in ("recipe", "crop_size")}
    earlier = AGADDetector.__new__(AGADDetector)
    earlier.__setstate__(state)
    assert (earlier.get_params()["recipe"], earlier.get_params()["crop_size"]) == ("paper", None)
