"""Names and files that strangers have made to do more than they should."""

import contextlib
import io
import json
import shutil
import subprocess
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from agad_tf.audit import scoring_models
from agad_tf.benchmark.tables import HTML_NAME, write_tables
from agad_tf.config.errors import RunError
from agad_tf.config.experiment import ExperimentConfig
from agad_tf.data.sources import load_source
from agad_tf.evaluation.results import read_results
from agad_tf.files.workdir import Workdir
from agad_tf.training import run as training

SCRIPT = "document.title='ran'"
NAMES = [
    f"</title><script>{SCRIPT}</script>",
    f'<img src=x onerror="{SCRIPT}">\' $\\frac{{',
    f'"><svg onload={SCRIPT}>',
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run on a set whose classes have such names."""
    folder = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    arrays = {f"x_{part}": rng.integers(0, 256, (60, 16, 16), np.uint8) for part in ("train", "test")}
    labels = {f"y_{part}": np.arange(60) % 3 for part in ("train", "test")}
    np.savez(folder / f"{NAMES[1].replace('/', '')}.npz", **arrays, **labels, class_names=np.array(NAMES))
    (data,) = folder.glob("*.npz")
    config = ExperimentConfig(
        dataset="npz",
        data_dir=str(data),
        normal_class=NAMES[0],
        image_size=16,
        width=1 / 16,
        batch_size=8,
        epochs=1,
        workdir=str(folder / "run"),
    )
    training.train(config)
    return Workdir(config.folder)


def title_in_a_browser(page):
    """Title of a page after its scripts have run."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser:
        pytest.skip("there is no Chromium")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000", "--dump-dom"]
    done = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.partition("<title>")[2].partition("</title>")[0]


def test_a_browser_would_have_run_the_script(tmp_path):
    (tmp_path / "page.html").write_text(f"<title>page</title><body>{NAMES[1]}</body>")
    assert title_in_a_browser(tmp_path / "page.html") == "ran"


def test_names_of_classes_and_files_run_nothing_in_the_report(run):
    page = run.report.read_text(encoding="utf-8")
    assert "<script" not in page
    title = title_in_a_browser(run.report)
    assert title.endswith("report")
    assert title != "ran"


def test_names_run_nothing_in_the_tables_of_a_benchmark(run, tmp_path):
    write_tables([read_results(run.results)], "1 of 1 runs are finished.", tmp_path)
    assert "<script" not in (tmp_path / HTML_NAME).read_text(encoding="utf-8")
    assert title_in_a_browser(tmp_path / HTML_NAME) not in ("", "ran")


def test_a_keras_file_that_brings_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inputs = keras.Input((16, 16, 1))
    payload = keras.layers.Lambda(lambda images: (open("ran", "w").close(), images)[1])  # noqa: PTH123
    keras.Model(inputs, payload(inputs)).save("model.keras")
    Path("ran").unlink()
    with pytest.raises(RunError, match=r"model\.keras cannot be loaded") as caught:
        scoring_models.load_scoring_model(Path("model.keras"))
    assert "\n" not in str(caught.value)
    assert not Path("ran").exists()


def test_a_keras_file_cannot_leave_its_folder(tmp_path):
    model = keras.Sequential([keras.Input((16, 16, 1)), keras.layers.Identity()])
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    model.save(inside / "model.keras")
    with zipfile.ZipFile(inside / "model.keras", "a") as archive:
        archive.writestr("../../../escaped", "text")
    before = sorted(tmp_path.rglob("*"))
    # Keras before 3.14 refuses such a file, later ones leave the member out.
    with contextlib.suppress(RunError):
        scoring_models.load_scoring_model(inside / "model.keras")
    assert sorted(tmp_path.rglob("*")) == before


def test_no_reader_unpickles(tmp_path):
    """An array of objects whose unpickling would leave a file."""
    marker = tmp_path / "ran"

    class Payload:
        def __reduce__(self):
            return Path.touch, (marker,)

    content = io.BytesIO()
    np.savez(content, x_train=np.array([Payload()], object))
    (tmp_path / "set.npz").write_bytes(content.getvalue())
    with pytest.raises(RunError, match="plain arrays"):
        load_source("npz", str(tmp_path / "set.npz"))
    assert not marker.exists()


def test_nothing_is_written_outside_the_folder_of_the_run(run):
    """Whatever classes and files are called."""
    assert {path.name for path in run.root.parent.iterdir()} == {
        "run",
        *(p.name for p in run.root.parent.glob("*.npz")),
    }
    assert json.loads(run.results.read_text())["normal_class"] == NAMES[0]
