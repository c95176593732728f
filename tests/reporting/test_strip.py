"""Test images in large: which are chosen, and what is shown of them."""

import base64
import io

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from agad_tf.reporting import strip
from agad_tf.reporting.strip import in_colors, look_at, strip_pictures, strip_rows


def rows_of(normal, abnormal, threshold, classes=None):
    """The chosen rows of a test set with these scores, as places and reasons."""
    scores = [*normal, *abnormal]
    labels = np.repeat([0, 1], [len(normal), len(abnormal)])
    test = pd.DataFrame(
        {"label": labels, "score": scores, "class": [0] * len(normal) + (classes or [1] * len(abnormal))}
    )
    return list(strip_rows(test.assign(flagged=test["score"] >= threshold))["why"].items())


def test_found_missed_and_normal_images_and_a_false_alarm_are_shown():
    chosen = rows_of([0.1, 0.9, 0.2, 0.6, 0.3, 0.4], [0.7, 0.2, 0.8, 0.95, 0.1, 0.55], 0.5)
    assert chosen == [
        (9, "Found anomaly"),
        (8, "Found anomaly"),
        (6, "Found anomaly"),
        (10, "Missed anomaly"),
        (1, "False alarm"),
        (4, "Normal image"),
        (2, "Normal image"),
    ]


def test_found_anomalies_are_of_different_classes_where_there_are_some():
    chosen = rows_of([0.1], [0.9, 0.8, 0.7, 0.6], 0.5, classes=[1, 1, 2, 1])
    assert [place for place, why in chosen if why == "Found anomaly"] == [1, 3, 2]


@pytest.mark.parametrize(
    ("normal", "abnormal", "reasons"),
    [
        ([0.1], [], ["Normal image"]),
        ([0.9], [], ["False alarm"]),
        ([0.9], [0.1], ["Missed anomaly", "False alarm"]),
        ([0.1, 0.2], [0.9], ["Found anomaly", "Normal image", "Normal image"]),
    ],
)
def test_of_what_there_is_not_nothing_is_shown(normal, abnormal, reasons):
    assert [why for _, why in rows_of(normal, abnormal, 0.5)] == reasons


def pixels_of(address):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))))


@pytest.fixture
def looks(build_model, task):
    return look_at(build_model(compiled=False), task.test.images)


def test_what_is_seen_does_not_depend_on_how_many_are_looked_at_together(build_model, task, looks, monkeypatch):
    monkeypatch.setattr(strip, "images_at_a_time", lambda size: 1)
    for one, together in zip(look_at(build_model(compiled=False), task.test.images), looks, strict=True):
        np.testing.assert_array_equal(one.image, together.image)
        np.testing.assert_allclose(one.error, together.error, atol=1e-5)


def test_small_images_are_enlarged_in_whole_multiples(looks, task, tmp_path):
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 16:32] = 1
    Image.fromarray(mask).save(tmp_path / "mask.png")
    pictures = strip_pictures(looks[0], 0.5, [tmp_path / "mask.png"])
    assert list(pictures) == ["image", "restored", "error map", "ground truth"]
    large = {name: pixels_of(address) for name, address in pictures.items()}
    assert {pixels.shape[:2] for pixels in large.values()} == {(192, 192)}
    # A JPEG is not exact.
    assert np.abs(large["image"][6::12, 6::12].astype(int) - task.test.images[0, ..., 0]).mean() < 6
    expected = mpl.colormaps["magma"](looks[0].error / 0.5, bytes=True)[..., :3]
    np.testing.assert_array_equal(large["error map"][::12, ::12], expected)
    assert (large["ground truth"][64:128, 112:] == 255).all()
    assert not large["ground truth"][:, :80].any()


def test_large_images_are_shrunk_and_keep_their_shape(build_model, task):
    shown = strip._shown_size((1000, 500))
    assert shown == (384, 192)
    assert strip._resized(np.zeros((1000, 500, 3), np.uint8), *shown).shape == (384, 192, 3)


def test_without_a_mask_there_is_no_ground_truth(looks):
    assert "ground truth" not in strip_pictures(looks[0], 1.0, ())


def test_an_error_map_without_errors_is_black():
    assert in_colors(np.zeros((2, 2)), 0).max() < 5
