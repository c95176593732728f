import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy import ndimage

from agad_tf.data.images_in_files import decode_files
from agad_tf.data.preprocessing import to_network_input
from agad_tf.evaluation.thresholds import Decision
from agad_tf.serving.onnx_litert import PortableDetector
from agad_tf.serving.saved_model import Detector, export_saved_model

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
def trained(build_model, batch, request):
    model = build_model(**getattr(request, "param", {}))
    for _ in range(3):
        model.train_on_batch(*batch)
    for variable in model.residual_statistics:
        variable.assign(np.random.default_rng(0).normal(size=variable.shape) / 16)
    return model


@pytest.mark.parametrize(
    ("trained", "shape"),
    [({}, (16, 16)), ({}, (28, 20)), ({"residual_norm": "mahalanobis", "ema_momentum": 0.9}, (16, 16))],
    indirect=["trained"],
)
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
    errors = np.abs(inputs - reconstruction).mean(axis=-1) * 127.5
    error_map = ndimage.gaussian_filter(errors, (0, 16 / 64, 16 / 64))
    assert np.abs(error_map - errors).max() > 0.01
    np.testing.assert_allclose(served["error_map"], error_map, atol=1e-3)


def test_the_threshold_decides(trained, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 1), np.uint8)
    scores = np.sort(trained.anomaly_score(to_network_input(images, 16)).numpy())
    export_saved_model(trained, DECISION._replace(threshold=(scores[1] + scores[2]) / 2), tmp_path / "saved_model")
    detector = tf.saved_model.load(str(tmp_path / "saved_model"))
    assert np.sum(detector.serve(images)["is_anomaly"]) == 3


def test_exported_detectors_state_the_probability_of_the_decision(trained):
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 1)).astype(np.float32)
    scores = trained.anomaly_score(to_network_input(images, 16)).numpy()
    # Half of the probabilities are below a half.
    decision = DECISION._replace(center=float(np.median(scores)), slope=3 / float(np.ptp(scores)))
    detector = Detector(trained, decision)
    for answer in (detector.serve, PortableDetector(trained, decision)):
        found = answer(tf.constant(images))
        np.testing.assert_allclose(found["probability"], decision.probability(found["score"].numpy()), atol=1e-6)


def test_a_new_export_replaces_the_old_one(trained, tmp_path):
    path = tmp_path / "saved_model"
    for threshold in (1.0, 2.0):
        export_saved_model(trained, DECISION._replace(threshold=threshold), path)
    assert float(tf.saved_model.load(str(path)).threshold) == 2.0
    assert [entry.name for entry in tmp_path.iterdir()] == ["saved_model"]


@pytest.fixture
def saved_model(trained, tmp_path):
    export_saved_model(trained, DECISION, tmp_path / "saved_model")
    return str(tmp_path / "saved_model")


def pictures():
    """Images of several sizes, colours and formats by name, without loss."""
    rng = np.random.default_rng(0)
    colour = Image.fromarray(rng.integers(0, 256, (20, 33, 3), np.uint8))
    grey = Image.fromarray(rng.integers(0, 256, (16, 16), np.uint8))
    images = {
        "grey.png": grey,
        "colour.png": colour,
        "alpha.png": colour.convert("RGBA"),
        "grey_alpha.png": grey.convert("LA"),
        "a.bmp": colour,
        "a.gif": grey,
        "a.webp": colour,
        "sixteen.png": Image.fromarray(np.asarray(grey).astype(np.uint16) * 256 + 99),
    }
    encoded = {}
    for name, image in images.items():
        data = io.BytesIO()
        image.save(data, Path(name).suffix[1:], **({"lossless": True} if name.endswith("webp") else {}))
        encoded[name] = data.getvalue()
    return encoded


def test_encoded_pictures_are_scored_as_from_files(trained, saved_model, tmp_path):
    encoded = pictures()
    for name, data in encoded.items():
        (tmp_path / name).write_bytes(data)
    inputs = decode_files(np.array([str(tmp_path / name) for name in encoded]), 1, 16).inputs
    serve = tf.saved_model.load(saved_model).signatures["serve_bytes"]
    served = serve(encoded=tf.constant(list(encoded.values())))
    np.testing.assert_allclose(served["score"], trained.anomaly_score(inputs), rtol=1e-5)


@pytest.mark.parametrize("size", [(40, 30), (47, 90), (48, 90), (110, 97), (300, 200)])
def test_a_jpeg_is_scored_nearly_as_from_its_file(trained, saved_model, tmp_path, size):
    """Decoders of JPEG may differ by a shade in a pixel."""
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)).save(tmp_path / "a.jpg")
    expected = trained.anomaly_score(decode_files(np.array([str(tmp_path / "a.jpg")]), 1, 16).inputs)
    serve = tf.saved_model.load(saved_model).signatures["serve_bytes"]
    served = serve(encoded=tf.constant([(tmp_path / "a.jpg").read_bytes()]))
    np.testing.assert_allclose(served["score"], expected, rtol=1e-3)


def test_classify_answers_as_tensorflow_serving_asks(saved_model):
    data = pictures()["grey.png"]
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[data]))
    example = tf.train.Example(features=tf.train.Features(feature={"image": feature})).SerializeToString()
    detector = tf.saved_model.load(saved_model)
    found = detector.signatures["classify"](inputs=tf.constant([example, example]))
    probability = detector.serve_bytes(tf.constant([data]))["probability"].numpy()
    assert found["classes"].numpy().tolist() == [[b"normal", b"abnormal"]] * 2
    np.testing.assert_allclose(found["scores"], [[1 - probability[0], probability[0]]] * 2, rtol=1e-6)
    content = (Path(saved_model) / "saved_model.pb").read_bytes()
    assert b"tensorflow/serving/classify" in content


@pytest.mark.slow
def test_saved_model_cli_runs_it(trained, saved_model, tmp_path):
    """TensorFlow's own command, which knows nothing of this package."""
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 1), np.uint8)
    np.savez(tmp_path / "inputs.npz", images=images, encoded=np.array([pictures()["grey.png"]] * 2))
    cli = Path(sys.executable).with_name("saved_model_cli")
    for signature, name in (("serve_uint8", "images"), ("serve_bytes", "encoded")):
        arguments = ["--tag_set=serve", f"--signature_def={signature}", f"--outdir={tmp_path / signature}"]
        given = f"--inputs={name}={tmp_path / 'inputs.npz'}[{name}]"
        command = [str(cli), "run", f"--dir={saved_model}", *arguments, given]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    expected = trained.anomaly_score(to_network_input(images, 16))
    np.testing.assert_allclose(np.load(tmp_path / "serve_uint8" / "score.npy"), expected, rtol=1e-5)
    assert np.load(tmp_path / "serve_bytes" / "score.npy").shape == (2,)


def test_warm_up_requests_are_ones_that_the_detector_answers(saved_model):
    """Read by the numbers of the fields in TensorFlow Serving's prediction_log.proto and predict.proto."""
    detector = tf.saved_model.load(saved_model)
    path = Path(saved_model) / "assets.extra" / "tf_serving_warmup_requests"
    asked = []
    for record in tf.data.TFRecordDataset(str(path)):
        request = fields(fields(record.numpy())[6])[1]
        signature = fields(fields(request)[1])[3].decode()
        named = fields(fields(request)[2])
        tensor = tf.io.parse_tensor(
            named[2], {"serve_uint8": tf.uint8, "serve_bytes": tf.string}.get(signature, tf.float32)
        )
        answer = detector.signatures[signature](**{named[1].decode(): tensor})
        asked.append((signature, len(answer["score"])))
    assert {signature for signature, _ in asked} == {"serving_default", "serve", "serve_uint8", "serve_bytes"}
    assert {size for _, size in asked} == {1, 8}


def fields(message):
    """The fields of a message in the wire format of protocol buffers, all of them bytes, by number."""
    found, place = {}, 0
    while place < len(message):
        number, kind = divmod(message[place], 8)
        assert kind == 2
        length = shift = 0
        more = True
        while more:
            place += 1
            length |= (message[place] & 127) << shift
            shift += 7
            more = message[place] > 127
        found[number] = message[place + 1 : place + 1 + length]
        place += 1 + length
    return found
