import sys

import keras
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from agad_tf.config.choices import BASELINES
from agad_tf.config.errors import UsageError
from agad_tf.data.sources import Source
from agad_tf.data.splits import one_class_task
from agad_tf.models import baselines
from agad_tf.models.baselines import baseline_scores, require_labels
from agad_tf.networks.encoder_decoder import encode

CLASSICAL = ("knn", "pca", "one_class_svm", "isolation_forest")
DEEP = ("deep_svdd", "auto_encoder")


@pytest.fixture(scope="module")
def source():
    """Class 0 has a bright upper half, class 1 a bright lower half."""
    rng = np.random.default_rng(0)
    images, classes = rng.integers(0, 80, (160, 16, 16, 1), np.uint8), np.arange(160) % 2
    images[classes == 0, :8] += 120
    images[classes == 1, 8:] += 120
    return Source("digits", images[:120], classes[:120], images[120:], classes[120:], "nowhere")


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch):
    monkeypatch.setattr(baselines, "CLASSIFIER_LEAST_STEPS", 5)


@pytest.mark.parametrize(("least", "epochs"), [(5, 5), (40, 20)])
def test_the_ceiling_takes_five_epochs_or_as_many_as_make_enough_steps(source, least, epochs, monkeypatch):
    monkeypatch.setattr(baselines, "CLASSIFIER_LEAST_STEPS", least)
    monkeypatch.setattr(baselines, "CLASSIFIER_BATCH_SIZE", 60)
    taken = []
    fit = keras.Model.fit
    monkeypatch.setattr(keras.Model, "fit", lambda *given, **named: taken.append(fit(*given, **named)))
    baseline_scores("supervised", source, one_class_task(source, 0), 16, 0.1, 0)
    assert len(taken[0].epoch) == epochs


@pytest.mark.parametrize("name", [*CLASSICAL, "supervised"])
def test_what_is_abnormal_scores_higher(source, name):
    task = one_class_task(source, 0, gamma=0.1)
    validation, test = baseline_scores(name, source, task, 16, width=1, seed=0)
    assert roc_auc_score(task.test.labels, test) > 0.95
    assert len(validation) == len(task.validation.images)


@pytest.mark.parametrize("name", CLASSICAL)
def test_labelled_anomalies_are_not_learned_from(source, name):
    # The same normal images are held out whatever γ is.
    scores = [baseline_scores(name, source, one_class_task(source, 0, gamma), 16, 1, 0)[1] for gamma in (0, 0.1)]
    np.testing.assert_array_equal(*scores)


@pytest.mark.parametrize("name", ["isolation_forest", "supervised"])
def test_a_seed_repeats(source, name):
    task = one_class_task(source, 0)
    first, second, other = (baseline_scores(name, source, task, 16, 1, seed)[1] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_the_ceiling_has_the_width_that_is_asked_for(source, monkeypatch):
    widths = []

    def encode_and_tell(images, width, normalization):
        widths.append(width)
        return encode(images, width, normalization)

    monkeypatch.setattr(baselines, "encode", encode_and_tell)
    baseline_scores("supervised", source, one_class_task(source, 0), 16, 0.25, 0)
    assert widths == [0.25]


def test_the_ceiling_does_not_see_the_validation_labels(source):
    task = one_class_task(source, 0, gamma=0.1)
    relabelled = source.y_train.copy()
    relabelled[task.validation.ids] = 1 - relabelled[task.validation.ids]
    other = Source("digits", source.x_train, relabelled, source.x_test, source.y_test, "nowhere")
    found, expected = (baseline_scores("supervised", each, task, 16, 1, 0)[1] for each in (other, source))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", DEEP)
def test_without_pyod_its_detectors_say_what_to_install(source, name, monkeypatch):
    monkeypatch.setitem(sys.modules, f"pyod.models.{name}", None)
    with pytest.raises(UsageError, match=r"pip install \"agad_tf\[pyod\]\""):
        baseline_scores(name, source, one_class_task(source, 0), 16, 1, 0)


@pytest.mark.parametrize("name", DEEP)
def test_detectors_of_pyod_where_it_is_installed(source, name):
    pytest.importorskip(f"pyod.models.{name}")
    task = one_class_task(source, 0)
    assert roc_auc_score(task.test.labels, baseline_scores(name, source, task, 16, 1, 0)[1]) > 0.95


def test_every_baseline_is_known_and_no_other(source):
    with pytest.raises(ValueError, match="choose one of " + ", ".join(BASELINES)):
        baseline_scores("oracle", source, one_class_task(source, 0), 16, 1, 0)


def test_the_ceiling_is_refused_where_all_images_are_of_one_class():
    images = np.zeros((4, 8, 8, 1), np.uint8)
    source = Source("folder", images, np.zeros(4, int), images, np.zeros(4, int), "photos")
    with pytest.raises(UsageError, match="photos has only one class"):
        require_labels("supervised", source)
    require_labels("knn", source)
