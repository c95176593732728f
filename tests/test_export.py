import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from agad_tf.data.pipeline import to_network_input
from agad_tf.evaluation.thresholds import Decision
from agad_tf.export import export_saved_model

DECISION = Decision(5.0, "", 4.0, 0.5, "")
# Run where agad_tf cannot be imported: what is served must need TensorFlow alone.
SERVE_ALONE = """
import sys
sys.modules["agad_tf"] = None
import numpy as np, tensorflow as tf
path, images, output = sys.argv[1:]
images = np.load(images)
detector = tf.saved_model.load(path)
by_signature = detector.signatures["serve_uint8"](images=tf.constant(images))
as_uint8 = detector.serve(tf.constant(images))
as_float = detector.serve(tf.constant(images, tf.float32))
as_double = detector.serve(images.astype("float64"))
default = detector.signatures["serving_default"](images=tf.constant(images, tf.float32))
np.savez(output, **as_uint8, **{f"float_{k}": v for k, v in as_float.items()},
         signature_score=by_signature["score"], double_score=as_double["score"],
         default_score=default["score"])
"""


@pytest.fixture
def trained(build_model, batch):
    model = build_model()
    for _ in range(3):
        model.train_on_batch(*batch)
    return model


@pytest.mark.parametrize("shape", [(16, 16), (28, 20)])
def test_saved_model_serves_raw_images_without_this_package(trained, tmp_path, shape):
    images = np.random.default_rng(0).integers(0, 256, (5, *shape, 1), np.uint8)
    np.save(tmp_path / "images.npy", images)
    export_saved_model(trained, DECISION, tmp_path / "saved_model")
    arguments = [tmp_path / "saved_model", tmp_path / "images.npy", tmp_path / "served.npz"]
    subprocess.run([sys.executable, "-c", SERVE_ALONE, *map(str, arguments)], check=True, capture_output=True)
    served = np.load(tmp_path / "served.npz")

    inputs = to_network_input(images, 16)
    scores = trained.anomaly_score(inputs).numpy()
    reconstruction = trained.predict(inputs, verbose=0)
    for name in ("score", "float_score", "double_score", "signature_score", "default_score"):
        np.testing.assert_allclose(served[name], scores, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(served["is_anomaly"], scores >= DECISION.threshold)
    np.testing.assert_allclose(served["probability"], DECISION.probability(scores), atol=1e-5)
    np.testing.assert_allclose(served["reconstruction"], (reconstruction + 1) * 127.5, atol=1e-3)
    error_map = np.abs(inputs - reconstruction).mean(axis=-1) * 127.5
    np.testing.assert_allclose(served["error_map"], error_map, atol=1e-3)


def test_the_threshold_decides(trained, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 1), np.uint8)
    scores = np.sort(trained.anomaly_score(to_network_input(images, 16)).numpy())
    export_saved_model(trained, DECISION._replace(threshold=(scores[1] + scores[2]) / 2), tmp_path / "saved_model")
    detector = tf.saved_model.load(str(tmp_path / "saved_model"))
    assert np.sum(detector.serve(images)["is_anomaly"]) == 3


def test_a_new_export_replaces_the_old_one(trained, tmp_path):
    path = tmp_path / "saved_model"
    for threshold in (1.0, 2.0):
        export_saved_model(trained, DECISION._replace(threshold=threshold), path)
    assert float(tf.saved_model.load(str(path)).threshold) == 2.0
    assert [entry.name for entry in tmp_path.iterdir()] == ["saved_model"]
