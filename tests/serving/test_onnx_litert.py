import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from agad_tf.config.errors import RunError, UsageError
from agad_tf.config.experiment import ExperimentConfig
from agad_tf.data.preprocessing import to_network_input
from agad_tf.data.sources import load_source
from agad_tf.evaluation.thresholds import Decision
from agad_tf.models.segmenting_agad import SegmentingAGAD
from agad_tf.networks import build_discriminator, build_generator, build_segmenter
from agad_tf.serving import onnx_litert as portable
from agad_tf.training import run as training

DECISION = Decision(5.0, "", 4.0, 0.5, "")
IMAGES = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 1)).astype(np.float32)


def run_file(path, images):
    if path.suffix == ".onnx":
        onnxruntime = pytest.importorskip("onnxruntime")
        session = onnxruntime.InferenceSession(str(path))
        return dict(
            zip([output.name for output in session.get_outputs()], session.run(None, {"images": images}), strict=False)
        )
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    return interpreter.Interpreter(str(path)).get_signature_runner()(images=images)


@pytest.fixture(params=["onnx", "litert"])
def form(request):
    try:
        portable.require_packages(request.param)
    except UsageError as error:
        pytest.skip(str(error))
    return request.param


def test_a_keras_that_cannot_export_is_named(monkeypatch):
    monkeypatch.setattr(portable, "find_spec", lambda package: package)
    monkeypatch.setattr(portable.keras, "__version__", "3.12.0")
    portable.require_packages("onnx")
    with pytest.raises(
        UsageError, match=r"needs Keras 3\.15 or later, but Keras 3\.12\.0 is installed; run: pip install"
    ):
        portable.require_packages("litert")


def file_of(form, folder):
    return folder / ("model.onnx" if form == "onnx" else "model.tflite")


@pytest.mark.parametrize(
    ("generator", "residual_norm"),
    [
        ("encoder_decoder", "euclidean"),
        ("encoder_decoder", "mahalanobis"),
        ("encoder_decoder", "smoothed"),
        ("encoder_decoder", "combined"),
        ("unet", "euclidean"),
        ("unet_plus_plus", "euclidean"),
    ],
)
def test_the_file_scores_as_the_model_does(form, generator, residual_norm, tmp_path):
    shape = (32, 32, 1)
    networks = build_generator(generator, shape, width=1 / 8), build_discriminator(shape, width=1 / 8)
    model = training.AGAD(*networks, residual_norm=residual_norm)
    for variable in model.residual_statistics:
        variable.assign(np.random.default_rng(0).normal(size=variable.shape))
    path = file_of(form, tmp_path)
    portable.export_portable(model, DECISION, path, form)
    for images in (IMAGES, IMAGES[:1]):
        found = run_file(path, images)
        scores = model.anomaly_score(to_network_input(images, 32)).numpy()
        np.testing.assert_allclose(found["score"], scores, rtol=1e-4)
        np.testing.assert_allclose(found["probability"], DECISION.probability(scores), atol=1e-4)
        np.testing.assert_array_equal(found["is_anomaly"], (found["score"] >= DECISION.threshold).astype(np.float32))
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_file_of_a_detector_of_peaks_scores_as_the_model_does(form, tmp_path):
    """Its check, against the model, is that of `export_portable`; 48 pixels at half the size are 32, no divisor."""
    network = ((16, 16, 1), 1 / 16)
    model = SegmentingAGAD(
        build_generator("unet", *network),
        build_discriminator(*network),
        build_segmenter(*network),
        scoring_shape=(48, 48, 1),
        scales=(1, 2),
    )
    # Images so much alike that others score hundreds.
    model.adapt(np.random.default_rng(0).normal(0, 0.01, (8, 48, 48, 1)).astype(np.float32))
    portable.export_portable(model, DECISION, file_of(form, tmp_path), form)
    assert [file.name for file in tmp_path.iterdir()] == [file_of(form, tmp_path).name]


def test_a_file_that_scores_otherwise_is_not_left_behind(form, build_model, tmp_path, monkeypatch):
    path = file_of(form, tmp_path)
    portable.export_portable(build_model(), DECISION, path, form)
    before = path.read_bytes()
    name = f"_scores_by_{form}"
    scores = getattr(portable, name)
    for wrong in (lambda *given: scores(*given) * 1.01, lambda *given: scores(*given) * np.nan):
        monkeypatch.setattr(portable, name, wrong)
        with pytest.raises(RunError, match="differ from those of the Keras model"):
            portable.export_portable(build_model(), DECISION, path, form)
        assert path.read_bytes() == before
        assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_file_that_its_runtime_cannot_run_ends_in_one_sentence(form, build_model, tmp_path, monkeypatch):
    reasons = {"Node number 30 (WHILE) failed to invoke.\nmore": r"Node number 30 \(WHILE\) failed", "": "OwnError"}

    class OwnError(Exception):
        """As ONNX Runtime's own, which are no RuntimeError."""

    for message, reason in reasons.items():

        def fail(*_, message=message):
            raise OwnError(message)

        monkeypatch.setattr(portable, f"_scores_by_{form}", fail)
        with pytest.raises(RunError, match=rf"cannot run the exported model \({reason}.*\); export a SavedModel"):
            portable.export_portable(build_model(), DECISION, file_of(form, tmp_path), form)
        assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr(portable, "find_spec", lambda package: None)
    with pytest.raises(UsageError, match=r"agad_tf\[onnx\]"):
        portable.require_packages("onnx")
    portable.require_packages("saved_model")


def test_a_run_in_16_bits_is_exported_in_32(tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    config = ExperimentConfig(
        dataset="digits",
        image_size=16,
        width=1 / 8,
        batch_size=32,
        epochs=1,
        mixed_precision="bfloat16",
        export_format="onnx",
        workdir=str(tmp_path / "run"),
    )
    training.train(config)
    path = tmp_path / "run" / "model.onnx"
    images = load_source("digits").x_test[:4].astype(np.float32)
    images = tf.image.resize(images, (16, 16)).numpy()
    scores = training.restore(config).anomaly_score(to_network_input(images, 16)).numpy()
    np.testing.assert_allclose(run_file(path, images)["score"], scores, rtol=0.02)
    path.unlink()
    training.export(dataclasses.replace(config, mode="export"))
    assert path.exists()
    assert "model.onnx" in capsys.readouterr().out
