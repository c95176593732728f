import numpy as np
import pytest

from agad_tf.data import scoring_batches
from agad_tf.data.preprocessing import to_network_input
from agad_tf.data.splits import Split
from agad_tf.evaluation.scorer import Scorer
from agad_tf.models.network_copies import call_keeping_statistics


@pytest.fixture
def test_split():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (10, 16, 16, 1), np.uint8)
    # Anomalies are brighter, and first: the family protocol must put them last by itself.
    images[:4] //= 4
    return Split(images, np.repeat([1, 0], [4, 6]).astype(np.int32), np.arange(10))


@pytest.fixture
def trained(build_model, batch):
    model = build_model()
    model.train_on_batch(*batch)
    return model


def test_per_image_scores_do_not_depend_on_the_batch(trained, test_split):
    alone = np.concatenate([Scorer(trained, 4).per_image(test_split.images[i : i + 1]) for i in range(10)])
    np.testing.assert_allclose(Scorer(trained, 4).per_image(test_split.images), alone, rtol=1e-5)


def test_family_scores_use_the_statistics_of_batches_with_all_normals_first(trained, test_split):
    labels, scores = Scorer(trained, 6).family(test_split)
    assert labels.tolist() == [0] * 6 + [1] * 4
    for label, found in ((0, scores[:6]), (1, scores[6:])):
        inputs = to_network_input(test_split.of_label(label).images, 16)
        errors = (inputs - call_keeping_statistics(trained.generator, inputs)).numpy().reshape(len(found), -1)
        np.testing.assert_allclose(found, np.linalg.norm(errors, axis=1), rtol=1e-5)


def test_family_scores_leak_where_per_image_scores_do_not(trained, test_split):
    per_image = Scorer(trained, 6).per_image(np.concatenate([test_split.of_label(k).images for k in (0, 1)]))
    _, family = Scorer(trained, 6).family(test_split)
    assert np.abs(family - per_image).max() > 0.1


def test_family_scoring_leaves_the_moving_statistics_untouched(trained, test_split):
    before = [variable.numpy().copy() for variable in trained.generator.variables]
    Scorer(trained, 6).family(test_split)
    assert all(np.array_equal(a, b) for a, b in zip(before, trained.generator.variables, strict=True))


def test_family_shuffled_scores_mixed_batches_and_gives_scores_in_the_order_of_the_test_set(trained, test_split):
    order = np.random.default_rng(3).permutation(10)
    expected = np.empty(10, np.float32)
    for chosen in (order[:5], order[5:]):
        inputs = to_network_input(test_split.images[chosen], 16)
        errors = (inputs - call_keeping_statistics(trained.generator, inputs)).numpy().reshape(5, -1)
        expected[chosen] = np.linalg.norm(errors, axis=1)
    np.testing.assert_allclose(Scorer(trained, 5).family_shuffled(test_split, seed=3), expected, rtol=1e-5)


def test_large_images_are_scored_few_at_a_time_unless_they_share_statistics(trained, test_split, monkeypatch):
    expected = Scorer(trained, 5).per_image(test_split.images)
    monkeypatch.setattr(scoring_batches, "SCORING_PIXELS", 2 * 16 * 16)
    scorer = Scorer(trained, 5)
    sizes = {"_per_image": [], "_by_batch_statistics": []}
    for name, found in sizes.items():
        score = getattr(scorer, name)
        monkeypatch.setattr(
            scorer, name, lambda batch, score=score, found=found: (found.append(len(batch)), score(batch))[1]
        )
    np.testing.assert_allclose(scorer.per_image(test_split.images), expected, rtol=1e-5)
    scorer.family(test_split)
    assert sizes == {"_per_image": [2] * 5, "_by_batch_statistics": [5] * 2}
