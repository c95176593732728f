import csv
import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from agad_tf.audit.command import audit
from agad_tf.audit.measure import LEAST_CHANGE, measure_batch_dependence
from agad_tf.audit.scoring_models import load_scoring_model
from agad_tf.config.errors import RunError, UsageError
from agad_tf.config.experiment import ExperimentConfig
from agad_tf.config.flags import to_flagfile
from agad_tf.data.preprocessing import to_network_input
from agad_tf.data.splits import OneClassTask, Split
from agad_tf.evaluation.thresholds import Decision
from agad_tf.models.network_copies import call_keeping_statistics
from agad_tf.serving.saved_model import export_saved_model

SIZES = (2, 8)


@pytest.fixture
def test_set():
    """Thirty dark and forty somewhat brighter images, in no order."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat([0, 1], [30, 40])).astype(np.int32)
    images = rng.integers(0, 100 + 60 * labels[:, None, None, None], (70, 16, 16, 1)).astype(np.uint8)
    return Split(images, labels, np.arange(70))


def brightness(images):
    return images.mean(axis=(1, 2, 3))


def measure(score, test_set, **options):
    return measure_batch_dependence(score, test_set, seed=0, **{"probes": 16, "batch_sizes": SIZES, **options})


def of(found, name, size):
    (condition,) = (c for c in found.conditions if (c.condition, c.batch_size) == (name, size))
    return condition


def test_a_score_of_the_image_alone_is_found_not_to_depend(test_set):
    batches = []
    found = measure(lambda images: batches.append(images) or brightness(images), test_set)
    assert not found.depends
    assert found.worst.largest_change == 0
    assert found.verdict.startswith("No dependence found: in 10 kinds of batch")
    sizes = [len(images) for images in batches]
    assert sizes.count(1) == 70
    assert sum(sizes) == 70 * 5 + 16 * 3 * (2 + 8) + 16 * 8
    # None has itself for company, but for the probes among their copies.
    different = [len({image.tobytes() for image in images}) for images in batches]
    assert different[:-16] == sizes[:-16]
    assert (different[-16:], sizes[-16:]) == ([1] * 16, [8] * 16)
    kinds = ("among normals", "among anomalies", "among noise", "shuffled", "ordered by label")
    assert [(c.condition, c.batch_size) for c in found.conditions] == [
        ("alone", 1),
        *((kind, size) for size in SIZES for kind in kinds),
    ]


def test_a_mean_over_the_batch_is_found_with_its_size():
    # Normals all black and anomalies all of 200, so that every change is known.
    labels = np.repeat([0, 1], 20).astype(np.int32)
    images = np.broadcast_to(200 * labels[:, None, None, None], (40, 16, 16, 1)).astype(np.uint8)
    test_set = Split(images, labels, np.arange(40))
    found = measure(lambda images: brightness(images) + 3 * brightness(images).mean(), test_set)
    assert found.unit == pytest.approx(4 * 100)
    assert found.depends
    # An anomaly of four times 200 alone, with seven normals beside it: 200 + 3 * 200 / 8.
    assert of(found, "among normals", 8).largest_change == pytest.approx((800 - 275) / 400)
    assert of(found, "among normals", 8).median_change == pytest.approx((800 - 275) / 400 / 2)
    assert of(found, "among anomalies", 2).largest_change == pytest.approx((300 - 0) / 400)
    # Noise has a mean of 127.5: 3 * 127.5 * 7 / 8 for a black image.
    assert of(found, "among noise", 8).largest_change == pytest.approx(0.84, abs=0.05)


def test_the_verdict_tells_the_ways_apart():
    labels = np.repeat([0, 1], 40).astype(np.int32)
    rng = np.random.default_rng(0)
    levels = np.where(labels, 111, 100) + 2 * rng.integers(-15, 15, 80)  # of anomalies odd
    images = np.broadcast_to(levels[:, None, None, None], (80, 16, 16, 1)).astype(np.uint8)
    test_set = Split(images, labels, np.arange(80))

    def leaks(images):
        return brightness(images) + 10 * brightness(images).mean()

    def leaks_and_hurts(images):
        return brightness(images) if len(images) == 1 else -brightness(images) + 1.5 * brightness(images).mean()

    def hurts(images):
        return brightness(images) * (1 if len(images) == 1 else -1)

    def any_company_helps(images):
        return -hurts(images)

    def hardly_helps(images):
        return brightness(images) + 8 * (len(images) > 1) * (brightness(images) == levels[labels == 1].min())

    for score, conclusion in (
        (leaks, "the label leaks."),
        (leaks_and_hurts, "the label leaks, although not in the detector's favour."),
        (hurts, "the difference is not in the detector's favour."),
        (any_company_helps, "other images in the batch help it in any order."),
        (hardly_helps, "the difference is hardly in the detector's favour."),
    ):
        assert measure(score, test_set).verdict.endswith(conclusion)
    assert "as if" not in measure(hurts, test_set).verdict
    assert "%, below 50 %, as if lower scores were more abnormal: " in measure(any_company_helps, test_set).verdict
    assert "%, below 50 %, as if lower" in measure(lambda images: -brightness(images), test_set).verdict


def test_a_score_that_is_random_by_itself_does_not_count_as_dependence(test_set):
    rng = np.random.default_rng(0)

    def random(images):
        return brightness(images) + rng.normal(size=len(images))

    found = measure(random, test_set)
    assert found.chance > 0.1
    assert not found.depends
    assert "no more than chance (copies of one image in one batch differ by up to" in found.verdict
    leaking = measure(lambda images: random(images) + 10 * brightness(images).mean(), test_set)
    assert leaking.depends
    assert "at a time) (copies of one image in one batch differ by up to" in leaking.verdict


def test_scores_that_are_all_the_same_alone_are_measured_by_those_in_batches(test_set):
    found = measure(lambda images: brightness(images) - brightness(images).mean(), test_set)
    assert found.depends
    assert not found.alone_differs
    assert found.conditions[0].auroc == 0.5
    assert "while alone all images score the same" in found.verdict


def test_rounding_is_no_dependence_and_little_more_is(test_set):
    def shifted_by(share):
        spread = np.std(brightness(test_set.images))
        return measure(lambda images: brightness(images) + share * spread * (len(images) > 1), test_set)

    assert not shifted_by(LEAST_CHANGE / 2).depends
    assert shifted_by(LEAST_CHANGE * 2).depends
    # In float32, scores with little spread about a large value cannot be told any better.
    large = measure(lambda images: 1e6 + brightness(images) + np.spacing(np.float32(1e6)) * (len(images) > 1), test_set)
    assert large.worst.largest_change > LEAST_CHANGE
    assert large.alone_differs
    assert not large.depends


def test_equal_seeds_give_equal_findings(test_set):
    def score(images):
        return brightness(images) + brightness(images).mean()

    assert measure(score, test_set) == measure(score, test_set)
    assert measure(score, test_set) != measure_batch_dependence(score, test_set, 1, 16, SIZES)


def test_of_a_large_test_set_a_part_with_its_share_of_anomalies_is_drawn(test_set):
    seen = []
    found = measure(lambda images: seen.append(images) or brightness(images), test_set, most_images=35, probes=8)
    assert found.conditions[0].images == 35
    alone = {image.tobytes() for image in seen[:35]}
    labels = [label for image, label in zip(test_set.images, test_set.labels, strict=True) if image.tobytes() in alone]
    assert (labels.count(0), labels.count(1)) == (15, 20)


@pytest.mark.parametrize(
    ("score", "complaint"),
    [
        (lambda images: np.full(len(images), np.nan), "one finite score for each"),
        (lambda images: np.zeros(3), "one finite score for each"),
        (lambda images: np.full(len(images), 7.1), "the same score"),
    ],
)
def test_scores_that_say_nothing_are_refused(test_set, score, complaint):
    with pytest.raises(RunError, match=complaint):
        measure(score, test_set)


def test_a_test_set_of_one_kind_is_refused(test_set):
    with pytest.raises(UsageError, match="at least two normal"):
        measure(brightness, test_set.of_label(0))


@pytest.fixture
def trained(build_model, batch):
    """A model whose moving statistics have moved."""
    model = build_model()
    for _ in range(3):
        model.train_on_batch(*batch)
    return model


@pytest.fixture
def images():
    return np.random.default_rng(1).integers(0, 256, (6, 20, 20, 1), np.uint8)


def test_our_detector_does_not_depend_on_its_batch_in_either_form(trained, test_set, images, tmp_path):
    trained.save(tmp_path / "model.keras")
    export_saved_model(trained, Decision(1.0, "", 1.0, 1.0, ""), tmp_path / "saved_model")
    expected = trained.anomaly_score(to_network_input(images, 16)).numpy()
    for name in ("model.keras", "saved_model"):
        score = load_scoring_model(tmp_path / name)
        np.testing.assert_allclose(score(images), expected, rtol=1e-5)
        assert not measure(score, test_set).depends


def test_our_detector_in_training_mode_depends_on_its_batch(trained, test_set, images, tmp_path):
    trained.save(tmp_path / "model.keras")
    score = load_scoring_model(tmp_path / "model.keras", training_mode=True)
    inputs = to_network_input(images, 16)
    reconstruction = call_keeping_statistics(trained.generator, inputs)
    expected = np.linalg.norm((inputs - reconstruction).numpy().reshape(6, -1), axis=1)
    np.testing.assert_allclose(score(images), expected, rtol=1e-4)
    found = measure(score, test_set)
    assert found.depends
    assert found.worst.largest_change > 10 * found.tolerance


def foreign_model(outputs):
    inputs = keras.Input((16, 16, 1))
    return keras.Model(inputs, outputs(inputs))


def test_a_foreign_keras_model_is_scored_in_both_modes(test_set, tmp_path):
    keras.utils.set_random_seed(0)

    def outputs(inputs):
        pooled = keras.layers.GlobalMaxPooling2D()(keras.layers.Conv2D(4, 3)(inputs))
        return keras.layers.Dense(1)(keras.layers.Dropout(0.5)(keras.layers.BatchNormalization()(pooled)))

    model = foreign_model(outputs)
    model.save(tmp_path / "model.keras")
    score = load_scoring_model(tmp_path / "model.keras")
    inputs = to_network_input(test_set.images, 16)
    np.testing.assert_allclose(score(test_set.images), model(inputs)[:, 0], rtol=1e-4, atol=1e-5)
    assert not measure(score, test_set).depends
    in_training = load_scoring_model(tmp_path / "model.keras", training_mode=True)
    # Not even the state of the dropout moves.
    np.testing.assert_array_equal(in_training(test_set.images), in_training(test_set.images))
    found = measure(in_training, test_set)
    assert found.depends
    assert not found.alone_differs


class Served(tf.Module):
    """Signatures that others may export."""

    def __init__(self, output, spec, dtype=tf.float32):
        super().__init__()
        self.call = tf.function(output, input_signature=[tf.TensorSpec(spec, dtype, "pixels")])

    def save(self, path, name="serving_default"):
        tf.saved_model.save(self, str(path), signatures={name: self.call})
        return path


def test_a_foreign_saved_model_may_score_or_reconstruct_and_ask_for_a_size(images, tmp_path):
    column = Served(lambda pixels: {"any": tf.reduce_mean(pixels, (1, 2))}, (None, None, None, 1))
    np.testing.assert_allclose(
        load_scoring_model(column.save(tmp_path / "a"))(images), images.mean(axis=(1, 2, 3)), rtol=1e-5
    )
    brighter = Served(lambda pixels: {"any": pixels + 2}, (None, 16, 16, 1))
    np.testing.assert_allclose(load_scoring_model(brighter.save(tmp_path / "b"))(images), 32, rtol=1e-5)
    named = Served(lambda pixels: {"score": tf.reduce_max(pixels, (1, 2, 3)), "more": pixels}, (None, 20, 20, 1))
    np.testing.assert_array_equal(load_scoring_model(named.save(tmp_path / "c"))(images), images.max(axis=(1, 2, 3)))


def test_the_run_of_a_baseline_is_refused(tmp_path):
    (tmp_path / "config.cfg").write_text(to_flagfile(ExperimentConfig(method="knn", workdir=str(tmp_path))))
    with pytest.raises(UsageError, match="is a run of --method=knn, which has no model"):
        load_scoring_model(tmp_path)


def test_models_are_given_values_in_the_range_that_they_take(test_set, tmp_path):
    images = test_set.images
    Served(lambda pixels: {"any": tf.reduce_mean(pixels, (1, 2, 3))}, (None, None, None, 1)).save(tmp_path / "served")
    foreign_model(keras.layers.GlobalAveragePooling2D()).save(tmp_path / "model.keras")
    mean = images.mean(axis=(1, 2, 3))
    ranges = {"0..255": mean, "0..1": mean / 255, "-1..1": mean / 127.5 - 1}
    for name, default in (("served", "0..255"), ("model.keras", "-1..1")):
        for given, values in {None: ranges[default], **ranges}.items():
            found = load_scoring_model(tmp_path / name, input_range=given)(images)
            np.testing.assert_allclose(found, values, rtol=1e-4, atol=1e-5)


def test_a_model_of_whole_numbers_is_given_the_pixels_as_they_are(tmp_path):
    images = np.arange(256, dtype=np.uint8).reshape(256, 1, 1, 1).repeat(16, axis=1).repeat(16, axis=2)
    brightest = Served(lambda pixels: {"any": tf.cast(pixels[:, 0, 0], tf.float32)}, (None, 16, 16, 1), tf.uint8)
    found = load_scoring_model(brightest.save(tmp_path / "a"))(images)
    np.testing.assert_array_equal(found, np.arange(256))


def test_wrong_models_are_refused_with_one_sentence(trained, images, tmp_path):
    trained.save(tmp_path / "model.keras")
    export_saved_model(trained, Decision(1.0, "", 1.0, 1.0, ""), tmp_path / "saved_model")
    damaged = shutil.copytree(tmp_path / "saved_model", tmp_path / "damaged")
    (damaged / "saved_model.pb").write_bytes(b"no model")
    shutil.rmtree(shutil.copytree(tmp_path / "saved_model", tmp_path / "half") / "variables")
    (tmp_path / "damaged.keras").write_bytes(b"no model")
    (tmp_path / "weights.h5").touch()
    (tmp_path / "empty").mkdir()
    foreign_model(lambda inputs: keras.layers.Dense(3)(keras.layers.Flatten()(inputs))).save(tmp_path / "three.keras")
    keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)]).save(tmp_path / "vectors.keras")
    shape = (None, None, None, 1)
    Served(lambda pixels: {"a": pixels, "b": pixels}, shape).save(tmp_path / "two")
    Served(lambda pixels: pixels, shape).save(tmp_path / "other", name="other")
    Served(lambda pixels: tf.ensure_shape(pixels, (1, 20, 20, 1)), shape).save(tmp_path / "single")
    Served(lambda pixels: tf.reduce_mean(pixels, (1, 2, 3)), None).save(tmp_path / "unknown")
    colour = np.repeat(images, 3, axis=-1)
    for name, training_mode, pixels, kind, complaint in (
        ("nowhere", False, images, UsageError, "nowhere is not a model"),
        ("weights.h5", False, images, UsageError, "weights.h5 is not a model"),
        ("saved_model", True, images, UsageError, "no training mode"),
        ("damaged", False, images, RunError, "cannot be loaded"),
        ("empty", False, images, UsageError, "empty is not a model"),
        ("damaged.keras", False, images, RunError, "is damaged"),
        ("half", False, images, RunError, "cannot be loaded"),
        ("vectors.keras", False, images, UsageError, r"input of shape \(None, 5\)"),
        ("other", False, images, UsageError, "no signature 'serving_default'"),
        ("three.keras", False, images, UsageError, r"makes \(6, 3\) of images of shape \(6, 16, 16, 1\)"),
        ("unknown", False, images, UsageError, "input of shape None"),
        ("two", False, images, UsageError, "must make one score for each image"),
        ("single", False, images, RunError, "fails on a batch of shape"),
        ("saved_model", False, colour, UsageError, "1 channels, but these have 3"),
        ("model.keras", False, colour, UsageError, "1 channels, but these have 3"),
    ):
        with pytest.raises(kind, match=complaint) as refused:
            load_scoring_model(tmp_path / name, training_mode)(pixels)
        assert "\n" not in str(refused.value), name


def test_an_audit_leaves_its_findings_for_programs_and_people(trained, test_set, tmp_path, capsys, monkeypatch):
    task = OneClassTask(test_set, test_set, test_set)
    monkeypatch.setattr("agad_tf.audit.command.load_images", lambda config: (None, task))
    path = tmp_path / "<b>.keras"
    trained.save(path)
    workdir = tmp_path / "runs" / "audit"
    config = ExperimentConfig(mode="audit", workdir=str(workdir), seed=3)
    audit(config, str(path), True, "0..1")
    pages = [(workdir / "audit.html").read_bytes()]
    printed = capsys.readouterr().out
    record = json.loads((workdir / "audit.json").read_text())
    assert record["verdict"] in printed
    assert record["depends"]
    assert record["training_mode"]
    assert record["input_range"] == "0..1"
    assert record["seed"] == 3

    rows = list(csv.DictReader((workdir / "audit.csv").open()))
    assert [(r["condition"], int(r["batch_size"])) for r in rows][:2] == [("alone", 1), ("among normals", 8)]
    for row, condition in zip(rows, record["conditions"], strict=True):
        assert all(float(row[name]) == condition[name] for name in row if name != "condition")

    page = pages[0].decode()
    assert page.index("depends on its batch: it moves") < page.index("<table>") < page.index('<svg role="img"')
    assert "in training mode, on values in 0..1.\nData: fashion_mnist, normal class 0." in page
    assert "&lt;b&gt;.keras" in page
    assert "mathdefault" not in page, "a formula that is not set"
    assert "<b>" not in page
    assert "http" not in page.replace("http://www.w3.org/", "")
    assert sorted(entry.name for entry in workdir.iterdir()) == ["audit.csv", "audit.html", "audit.json"]
    audit(config, str(path), True, "0..1")
    assert (workdir / "audit.html").read_bytes() == pages[0]
    audit(config, str(path), True)
    assert json.loads((workdir / "audit.json").read_text())["input_range"] == "-1..1"
