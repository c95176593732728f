import copy
import dataclasses
import pickle
import random

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import agad_tf
from agad_tf import AGADDetector, ExperimentConfig
from agad_tf.config.errors import RunError, UsageError
from agad_tf.config.recipes import RECIPES
from agad_tf.data.preprocessing import to_network_input
from agad_tf.data.training_batches import plan_batches
from agad_tf.estimator import detector as estimator
from agad_tf.estimator import fitting
from agad_tf.estimator.experiment import config_of
from agad_tf.estimator.input_arrays import divide

# The learning rate is high, so that an epoch of four steps leaves a trace.
TINY = {
    "recipe": "paper",
    "width": 1 / 16,
    "image_size": 16,
    "epochs": 1,
    "batch_size": 8,
    "min_anomalies": 2,
    "learning_rate": 1e-2,
    "random_state": 0,
}
UNKNOWN_LABELS = "y here has the labels 1 and 2, of which neither is known to be the abnormal one"
EXPECTED_FAILURES = {
    "check_estimators_dtypes": UNKNOWN_LABELS,
    "check_classifier_data_not_an_array": UNKNOWN_LABELS,
    "check_fit2d_1feature": UNKNOWN_LABELS,
}


@pytest.fixture(scope="module")
def images():
    """Forty grey images: slopes, the last ten upside down."""
    rng = np.random.default_rng(0)
    images = np.linspace(20, 220, 16)[:, np.newaxis] + rng.uniform(-20, 20, (40, 16, 16))
    images[30:] = images[30:, ::-1]
    return images.astype(np.uint8)


@pytest.fixture(scope="module")
def labels():
    return np.repeat([0, 1], [30, 10])


@pytest.fixture(scope="module")
def detector(images):
    return AGADDetector(**TINY).fit(images)


@parametrize_with_checks(
    [AGADDetector(**{**TINY, "batch_size": 64})], expected_failed_checks=lambda _: EXPECTED_FAILURES
)
def test_scikit_learn_finds_an_estimator(estimator, check, eager):
    check(estimator)


def test_the_estimator_is_a_public_name():
    assert agad_tf.AGADDetector is estimator.AGADDetector
    assert "AGADDetector" in agad_tf.__all__


@pytest.mark.parametrize("recipe", ["paper", "own_images"])
def test_defaults_are_those_of_the_recipe(recipe):
    parameters = AGADDetector(recipe=recipe).get_params()
    assert AGADDetector().recipe == "own_images"
    own = {"recipe", "image_shape", "value_range", "random_state", "verbose"}
    assert all(value is None for name, value in parameters.items() if name not in own)
    expected = {**dataclasses.asdict(ExperimentConfig()), **RECIPES[recipe], "seed": 3}
    assert dataclasses.asdict(config_of(parameters, gamma=0.0, seed=3)) == expected


def test_every_option_of_the_recipe_can_be_set():
    # The leaking protocols are no part of a detector.
    assert set(RECIPES["own_images"]) - {"score", "protocols"} <= set(AGADDetector().get_params())


def test_an_unknown_recipe_is_refused(images):
    with pytest.raises(ValueError, match="choose one of paper, own_images"):
        AGADDetector(recipe="best").fit(images)


def test_scores_are_those_of_the_model(detector, images):
    scores = detector.model_.anomaly_score(to_network_input(images[..., np.newaxis], 16)).numpy()
    np.testing.assert_allclose(-detector.score_samples(images), scores, rtol=1e-5)
    assert scores.min() > 0


def test_the_same_random_state_repeats_scores_to_the_bit(detector, images, eager):
    tf.config.run_functions_eagerly(False)
    again = AGADDetector(**TINY).fit(images)
    np.testing.assert_array_equal(again.score_samples(images), detector.score_samples(images))
    assert again.decision_ == detector.decision_
    other = AGADDetector(**{**TINY, "random_state": 1}).fit(images)
    assert (other.score_samples(images) != detector.score_samples(images)).all()


def test_what_is_saved_is_loaded_to_the_bit(detector, images, tmp_path):
    detector.save(tmp_path / "detector")
    before = random.getstate(), np.random.get_state()[1].tolist()
    loaded = AGADDetector.load(tmp_path / "detector")
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    np.testing.assert_array_equal(loaded.score_samples(images), detector.score_samples(images))
    np.testing.assert_array_equal(loaded.predict_proba(images), detector.predict_proba(images))
    assert loaded.get_params() == detector.get_params()
    for name in ("decision_", "image_shape_", "value_range_", "n_features_in_"):
        assert getattr(loaded, name) == getattr(detector, name)


@pytest.mark.usefixtures("eager")
def test_parameters_and_column_names_survive_saving(tmp_path):
    rows = pd.DataFrame(np.random.default_rng(0).uniform(size=(20, 6)), columns=list("abcdef"))
    parameters = {**TINY, "epochs": np.int64(1), "random_state": np.random.RandomState(0)}
    fitted = AGADDetector(**parameters, image_shape=(2, 3), value_range=(0, 1)).fit(rows)
    fitted.save(tmp_path)
    loaded = AGADDetector.load(tmp_path)
    assert loaded.feature_names_in_.tolist() == list("abcdef")
    assert loaded.get_params() == {**fitted.get_params(), "random_state": None}
    assert loaded.value_range == (0, 1) and loaded.image_shape == (2, 3)
    np.testing.assert_array_equal(loaded.score_samples(rows), fitted.score_samples(rows))


@pytest.mark.parametrize("copy_of", [copy.deepcopy, lambda detector: pickle.loads(pickle.dumps(detector))])
def test_a_fitted_copy_gives_the_same_scores(detector, images, copy_of):
    before = random.getstate(), np.random.get_state()[1].tolist()
    copied = copy_of(detector)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    np.testing.assert_array_equal(copied.score_samples(images), detector.score_samples(images))
    assert copied.model_ is not detector.model_


def test_a_clone_has_the_parameters_and_is_not_fitted(detector, images):
    cloned = clone(detector)
    assert cloned.get_params() == detector.get_params()
    for use in (cloned.predict, cloned.save):
        with pytest.raises(NotFittedError):
            use(images)


@pytest.mark.usefixtures("eager")
def test_it_ends_a_pipeline(images, labels):
    rows = images.reshape(len(images), -1).astype(float)
    pipeline = make_pipeline(PCA(20, random_state=0), AGADDetector(**TINY)).fit(rows, labels)
    last = AGADDetector(**TINY).fit(pipeline[0].transform(rows), labels)
    np.testing.assert_array_equal(pipeline.score_samples(rows), last.score_samples(pipeline[0].transform(rows)))
    assert last.image_shape_ == (5, 5, 1)


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_a_grid_search_in_two_processes_maximises_auroc(images, labels):
    train, test = next(StratifiedKFold(2).split(images, labels))
    search = GridSearchCV(
        AGADDetector(**TINY), {"epochs": [1, 8]}, cv=[(train, test)], n_jobs=2, error_score="raise"
    ).fit(images, labels)
    aurocs = []
    for epochs in (1, 8):
        fold = AGADDetector(**{**TINY, "epochs": epochs}).fit(images[train], labels[train])
        aurocs.append(roc_auc_score(labels[test], -fold.score_samples(images[test])))
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], aurocs, atol=0.02)
    assert search.best_params_ == {"epochs": 8} and search.best_score_ > 0.95
    assert set(search.predict(images)) <= {-1, 1}


@pytest.mark.usefixtures("eager")
def test_the_scorer_roc_auc_is_right_where_abnormal_is_minus_one(images, labels):
    def search(y):
        return GridSearchCV(
            AGADDetector(**TINY), {"epochs": [1]}, scoring=["roc_auc"], cv=StratifiedKFold(2), refit=False
        ).fit(images, y)

    signed, zero_one = (search(y).cv_results_["split0_test_roc_auc"][0] for y in (1 - 2 * labels, labels))
    train, test = next(StratifiedKFold(2).split(images, labels))
    fold = AGADDetector(**TINY).fit(images[train], labels[train])
    assert signed == pytest.approx(fold.score(images[test], labels[test]))
    assert fold.score(images[test], labels[test]) == fold.score(images[test], 1 - 2 * labels[test])
    assert zero_one == pytest.approx(1 - signed)
    assert fold.score(images[test], labels[test]) == roc_auc_score(labels[test], -fold.score_samples(images[test]))


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_labels_of_either_convention_teach_the_same(images, labels):
    options = {**TINY, "epochs": 4}
    zero_one = AGADDetector(**options).fit(images, labels)
    signed = AGADDetector(**options).fit(images, 1 - 2 * labels)
    np.testing.assert_array_equal(zero_one.score_samples(images), signed.score_samples(images))
    assert zero_one.decision_ == signed.decision_
    assert zero_one.score(images, labels) > 0.95
    # How well four epochs without labels do is decided by rounding.
    assert not np.array_equal(AGADDetector(**options).fit(images).score_samples(images), zero_one.score_samples(images))
    np.testing.assert_array_equal(AGADDetector(**options).fit_predict(images, labels), zero_one.predict(images))


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(
    ("rule", "source"),
    [("auto", "best F1"), ("f1", "best F1"), ("quantile=0.5", "0.5 quantile"), ("fpr=0.5", "at most 0.5")],
)
def test_the_threshold_follows_its_rule(images, labels, rule, source):
    fitted = AGADDetector(**TINY, threshold=rule).fit(images, labels)
    assert fitted.decision_.threshold_source.startswith(source)
    assert np.isfinite(fitted.threshold_)


@pytest.mark.usefixtures("eager")
def test_the_score_at_the_threshold_is_the_lowest_that_is_flagged(images):
    scores = np.sort(-AGADDetector(**TINY).fit(images).score_samples(images))
    fitted = AGADDetector(**TINY, threshold=scores[30]).fit(images)
    assert fitted.threshold_ == scores[30] == pytest.approx(-fitted.offset_)
    np.testing.assert_array_equal(fitted.predict(images) == -1, -fitted.score_samples(images) >= scores[30])
    np.testing.assert_array_equal(fitted.predict(images) == -1, fitted.decision_function(images) < 0)
    assert np.sum(fitted.predict(images) == -1) == 10


@pytest.mark.usefixtures("eager")
def test_the_decision_is_made_on_images_held_out_from_training(images, labels, monkeypatch):
    seen = {}

    def watch(module, name):
        function = getattr(module, name)

        def watching(*arguments, **options):
            seen[name] = arguments
            return function(*arguments, **options)

        monkeypatch.setattr(module, name, watching)

    watch(fitting, "training_inputs")
    watch(estimator, "decide")
    fitted = AGADDetector(**TINY, validation_fraction=0.2).fit(images, labels)
    assert np.bincount(seen["training_inputs"][0].labels).tolist() == [24, 8]
    decided_labels, scores, _ = seen["decide"]
    assert np.bincount(decided_labels).tolist() == [6, 2]
    held_out = np.setdiff1d(np.arange(40), seen["training_inputs"][0].ids)
    np.testing.assert_allclose(scores, -fitted.score_samples(images)[held_out], rtol=1e-5)


def test_few_normal_images_are_all_learned_from_and_decide_as_well(images):
    for normals, shared in ((9, True), (10, False)):
        few = np.repeat([0, 1], [normals, 1])
        train, validation, _ = divide(images[: normals + 1], few, 0.1, 0)
        assert (len(np.intersect1d(train.ids, validation.ids)) > 0) == shared
        assert len(np.union1d(train.ids, validation.ids)) == normals + 1
        assert train.labels.sum() == 1


def test_probability_rises_with_the_score(detector, images):
    noise = np.random.default_rng(1).integers(0, 256, (20, 16, 16)).astype(np.uint8)
    mixed = np.concatenate([images, noise])
    probabilities, order = detector.predict_proba(mixed), np.argsort(-detector.score_samples(mixed))
    abnormal = detector.decision_.probability(-detector.score_samples(mixed))
    np.testing.assert_array_equal(probabilities[:, 1], abnormal)
    assert probabilities.shape == (60, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (np.diff(probabilities[order, 1]) >= 0).all()
    assert np.ptp(probabilities[:, 1]) > 0.1


@pytest.mark.usefixtures("eager")
def test_the_value_range_takes_pixels_to_what_networks_see(detector, images):
    scores = detector.score_samples(images)
    assert detector.value_range_ == (0.0, 255.0)
    for scaled, value_range in ((images.astype(float), (0, 255)), (images / 255, (0, 1)), (images / 51 - 2, (-2, 3))):
        other = copy.copy(detector).set_params(value_range=value_range)
        other.value_range_ = value_range
        np.testing.assert_allclose(other.score_samples(scaled), scores, rtol=1e-5)
    floats = AGADDetector(**TINY).fit(images / 255)
    assert floats.value_range_ == (images.min() / 255, images.max() / 255)
    moved = AGADDetector(**TINY).fit(images * 10.0 + 7)
    np.testing.assert_allclose(moved.score_samples(images * 10.0 + 7), floats.score_samples(images / 255), rtol=1e-2)


def test_values_between_bytes_are_told_apart(detector, images):
    assert (detector.score_samples(images + 0.4) != detector.score_samples(images)).all()


@pytest.mark.usefixtures("eager")
def test_rows_become_the_images_they_were(images):
    colour = np.stack([images, images[:, ::-1], images], axis=-1)
    as_images = AGADDetector(**TINY).fit(colour)
    rows = colour.reshape(40, -1)
    as_rows = AGADDetector(**TINY, image_shape=(16, 16, 3)).fit(rows)
    np.testing.assert_array_equal(as_rows.score_samples(rows), as_images.score_samples(colour))
    np.testing.assert_array_equal(as_images.score_samples(rows), as_images.score_samples(colour))
    assert as_rows.image_shape_ == (16, 16, 3) and as_rows.n_features_in_ == 768


@pytest.mark.usefixtures("eager")
def test_what_a_row_leaves_of_its_square_has_the_lowest_value():
    rows = np.random.default_rng(0).uniform(100, 200, (20, 10))
    fitted = AGADDetector(**TINY, value_range=(100, 200)).fit(rows)
    padded = np.concatenate([rows, np.full((20, 6), 100)], axis=1).reshape(20, 4, 4)
    seen = to_network_input(((padded - 100) * 2.55)[..., np.newaxis], 16)
    np.testing.assert_allclose(-fitted.score_samples(rows), fitted.model_.anomaly_score(seen).numpy(), rtol=1e-5)
    assert fitted.image_shape_ == (4, 4, 1)


@pytest.mark.usefixtures("eager")
def test_a_batch_is_no_larger_than_the_data(images, labels, monkeypatch):
    plans = []

    def watching(*arguments, **options):
        plans.append(plan_batches(*arguments, **options))
        return plans[-1]

    monkeypatch.setattr(fitting, "plan_batches", watching)
    AGADDetector(**{**TINY, "batch_size": 256, "min_anomalies": 32}).fit(images, labels)
    (plan,) = plans
    assert (plan.normals, plan.anomalies, plan.steps_per_epoch) == (27, 9, 1)


def test_nothing_is_printed_and_random_state_stays(images, capfd, eager):
    random.seed(7)
    np.random.seed(7)
    before = random.getstate(), np.random.get_state()[1].tolist()
    AGADDetector(**TINY).fit(images).predict(images)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    assert capfd.readouterr().out == ""
    AGADDetector(**TINY, verbose=2).fit(images)
    assert "generator_loss" in capfd.readouterr().out


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(
    "parameter",
    [
        {"learning_rate_schedule": "cosine"},
        {"learning_rate": 1e-3},
        {"lambda_con": 5.0},
        {"ema_momentum": 0.5},
        {"horizontal_flip": True},
        {"contextual_adversarial": False},
        {"normalization": "group"},
        {"mixed_precision": "bfloat16"},
        {"generator": "unet"},
    ],
)
def test_parameters_reach_training(images, parameter):
    options = {**TINY, "epochs": 2}
    one, other = (AGADDetector(**{**options, **more}).fit(images).score_samples(images) for more in ({}, parameter))
    assert not np.array_equal(one, other)


@pytest.mark.usefixtures("eager")
def test_divergence_is_said(images):
    with pytest.raises(RunError, match="lower learning_rate"):
        AGADDetector(**{**TINY, "learning_rate": 1e30}).fit(images)


@pytest.mark.parametrize(
    ("parameter", "sentence"),
    [
        ({"width": -1}, "^width is -1"),
        ({"image_size": 20}, "multiples of 16"),
        ({"residual_norm": "peak"}, " contextual_adversarial=False"),
        ({"crop_size": 16}, "go with residual_norm=peak, not euclidean"),
        ({"generator": "vae"}, "choose one of encoder_decoder"),
        ({"threshold": "f1"}, "needs labelled anomalies"),
        ({"threshold": "high"}, "^threshold is 'high'"),
        ({"value_range": (1, 0)}, r"value_range is \(1, 0\)"),
        ({"value_range": "bytes"}, "value_range is 'bytes'"),
        ({"image_shape": (16,)}, r"not \(16,\)"),
        ({"image_shape": (16, 8)}, r"must be \(16, 8, 1\), as in image_shape"),
    ],
)
def test_a_wrong_parameter_is_named_in_fit_and_not_before(images, parameter, sentence):
    unfitted = AGADDetector(**{**TINY, **parameter})
    with pytest.raises(ValueError, match=sentence):
        unfitted.fit(images)


def test_a_batch_without_room_for_normals_is_refused_as_in_an_experiment(images, labels):
    with pytest.raises(UsageError, match="leaves no room"):
        AGADDetector(**{**TINY, "min_anomalies": 8}).fit(images, labels)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda x: x[0, 0], "Reshape your data"),
        (lambda x: x[:1], "minimum of 2"),
        (lambda x: x[:0], "0 sample"),
        (lambda x: np.where(x > 200, np.nan, x), "NaN"),
        (lambda x: np.where(x > 200, np.inf, x), "infinity"),
        (lambda x: np.stack([x, x], axis=-1), "2 channels"),
        (lambda x: x[..., np.newaxis, np.newaxis], "height, width, channels"),
    ],
)
def test_wrong_images_are_refused_in_fit(images, change, sentence):
    with pytest.raises(ValueError, match=sentence):
        AGADDetector(**TINY).fit(change(images))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda x: x[:, :8], r"channels \(8, 16, 1\).*as in fit"),
        (lambda x: np.stack([x] * 3, axis=-1), r"\(16, 16, 3\); they must be \(16, 16, 1\), as in fit"),
        (lambda x: x.reshape(len(x), -1)[:, 1:], "255 features, but AGADDetector is expecting 256"),
        (lambda x: np.where(x > 200, np.nan, x), "NaN"),
    ],
)
def test_images_unlike_those_of_fit_are_refused(detector, images, change, sentence):
    with pytest.raises(ValueError, match=sentence):
        detector.predict(change(images))


def test_rows_that_do_not_fill_the_given_shape_are_refused(images):
    with pytest.raises(ValueError, match=r"X has 256 features.*image_shape=\(16, 8\) have 128"):
        AGADDetector(**TINY, image_shape=(16, 8)).fit(images.reshape(40, -1))


@pytest.mark.parametrize(
    ("y", "sentence"),
    [
        (np.ones(40), "labels in y are 1"),
        (-np.ones(40), "no normal image"),
        (np.arange(40) % 3, r"labels \[0, 1, 2\]"),
        (np.arange(40) % 3 - 1, r"labels \[-1, 0, 1\]"),
        (["good", "bad"] * 20, "labels"),
        (np.zeros(39), "inconsistent numbers of samples"),
    ],
)
def test_labels_that_say_nothing_are_refused(images, y, sentence):
    with pytest.raises(ValueError, match=sentence):
        AGADDetector(**TINY).fit(images, y)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("kinds", ["warp", ["warp"], None])
def test_kinds_of_synthetic_anomalies_may_be_given_in_any_form(images, kinds):
    detector = AGADDetector(**TINY, synthetic_anomalies=kinds, residual_norm="mahalanobis").fit(images)
    assert np.isfinite(detector.score_samples(images)).all()
    with pytest.raises(UsageError, match="choose from rotation"):
        AGADDetector(**TINY, synthetic_anomalies="blur").fit(images)


def test_an_image_size_may_be_native(images):
    detector = AGADDetector(**{**TINY, "image_size": "native"}).fit(images)
    assert detector.model_.scoring_size == (16, 16)


def test_whole_images_that_are_not_square_are_refused(images):
    with pytest.raises(ValueError, match="must be square, but their size is 32x16"):
        AGADDetector(**{**TINY, "image_size": "32x16"}).fit(images)
