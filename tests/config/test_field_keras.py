"""Settings of Keras from outside: ~/.keras/keras.json and environment variables."""

import json
import os
import subprocess
import sys

import pytest

from tests.architecture import ROOT

SAYS = "import agad_tf, keras.config as c; agad_tf.AGAD; print(c.image_data_format(), c.floatx(), c.epsilon())"
COMMAND = "from agad_tf.main import run; import sys; sys.argv = ['agad-tf', '--dataset=digits', '--epochs=1']; run()"


def run(statement, home, **environment):
    return subprocess.run(
        [sys.executable, "-c", statement],
        env={**os.environ, "HOME": str(home), "KERAS_HOME": str(home / ".keras"), **environment},
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


def test_a_users_keras_json_does_not_change_what_the_package_computes(tmp_path):
    (tmp_path / ".keras").mkdir()
    settings = {"image_data_format": "channels_first", "floatx": "float16", "backend": "tensorflow", "epsilon": 0.1}
    (tmp_path / ".keras" / "keras.json").write_text(json.dumps(settings))
    done = run(SAYS, tmp_path)
    assert done.stdout.split() == ["channels_last", "float32", "1e-07"], done.stderr
    assert "agad_tf changes Keras' floatx from float16 to float32" in done.stderr


def is_one_sentence(done, word):
    assert done.returncode == 2
    (sentence,) = [line for line in done.stderr.splitlines() if "agad_tf" in line]
    assert word in sentence
    assert "Traceback" not in done.stderr


def test_a_limit_on_epochs_does_not_keep_a_run_from_its_end(tmp_path):
    pytest.importorskip("keras", minversion="3.15")
    says = "import agad_tf, keras; agad_tf.AGAD; print(keras.config.max_epochs(), keras.config.max_steps_per_epoch())"
    done = run(says, tmp_path, KERAS_MAX_EPOCHS="1", KERAS_MAX_STEPS_PER_EPOCH="3")
    assert done.stdout.split() == ["None", "None"], done.stderr


@pytest.mark.parametrize("variable", [{"KERAS_BACKEND": "torch"}, {"TF_USE_LEGACY_KERAS": "1"}])
def test_what_the_package_cannot_run_on_is_one_sentence(tmp_path, variable):
    is_one_sentence(run(COMMAND, tmp_path, **variable), next(iter(variable)))


def test_another_backend_in_a_users_keras_json_is_one_sentence(tmp_path):
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text('{"backend": "jax"}')
    is_one_sentence(run(COMMAND, tmp_path), "the backend is jax")
    done = run(SAYS, tmp_path, KERAS_BACKEND="tensorflow")
    assert done.returncode == 0, done.stderr


UNREADABLE = ('{"floatx": "bfloat16"}', '{"floatx": 16}', '{"image_data_format": "last"}', '{"epsilon": "small"}', "[]")


@pytest.mark.parametrize("settings", UNREADABLE)
def test_a_keras_json_that_keras_does_not_take_is_one_sentence(tmp_path, settings):
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text(settings)
    is_one_sentence(run(COMMAND, tmp_path), f"with the settings in {tmp_path}/.keras/keras.json")
    done = run(SAYS, tmp_path, KERAS_HOME=str(tmp_path / "elsewhere"))
    assert done.returncode == 0, done.stderr
