import csv
import io
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet
import pytest
import tensorflow as tf
from PIL import Image

from agad_tf import beam
from agad_tf.data.pipeline import to_network_input
from agad_tf.export import export_saved_model

THRESHOLD = 8.0


@pytest.fixture
def detector(build_model, tmp_path):
    """A model and the folder of its SavedModel."""
    model = build_model()
    export_saved_model(model, THRESHOLD, tmp_path / "saved_model")
    return model, tmp_path / "saved_model"


@pytest.fixture
def photos(tmp_path):
    """A folder of pictures of several sizes, with one file that is none; and the pictures by path."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    pictures = {}
    for number, shape in enumerate([(16, 16), (20, 30), (16, 16), (40, 40)]):
        path = folder / f"{number}, of 4.png"
        pictures[str(path)] = rng.integers(0, 256, shape, np.uint8)
        Image.fromarray(pictures[str(path)]).save(path)
    (folder / "broken.png").write_bytes(b"no picture")
    return folder, pictures


def expected_scores(model, pictures):
    inputs = {name: to_network_input(pixels[None, :, :, None], 16) for name, pixels in pictures.items()}
    return {name: float(model.anomaly_score(images)[0]) for name, images in inputs.items()}


def check(rows, model, pictures):
    wanted = expected_scores(model, pictures)
    assert {row["id"]: row["score"] for row in rows} == pytest.approx(wanted, rel=1e-5)
    assert {row["id"]: row["is_anomaly"] for row in rows} == {name: s >= THRESHOLD for name, s in wanted.items()}


def read_csv(folder):
    lines = [row for path in folder.glob("*.csv") for row in csv.DictReader(path.open())]
    return [{**r, "score": float(r["score"]), "is_anomaly": r["is_anomaly"] == "True"} for r in lines]


def test_scores_of_picture_files_are_those_of_the_model(detector, photos, tmp_path, capsys):
    (model, path), (folder, pictures) = detector, photos
    beam.main([f"--input={folder}/*.png", f"--model={path}", f"--output={tmp_path}/out/scores"])
    check(read_csv(tmp_path / "out"), model, pictures)
    (unreadable,) = (tmp_path / "out").glob("*unreadable*")
    assert unreadable.read_text().strip() == str(folder / "broken.png")
    assert "4 images scored, 1 unreadable" in capsys.readouterr().out


def test_records_to_parquet(detector, photos, tmp_path, capsys):
    (model, path), (_, pictures) = detector, photos
    with tf.io.TFRecordWriter(str(tmp_path / "images.tfrecord")) as writer:
        for name, pixels in pictures.items():
            png = io.BytesIO()
            Image.fromarray(pixels).save(png, "PNG")
            values = {"key": name.encode(), "image": png.getvalue()}
            features = {k: tf.train.Feature(bytes_list=tf.train.BytesList(value=[v])) for k, v in values.items()}
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
        writer.write(b"\xff no example")
        writer.write(tf.train.Example().SerializeToString())
    beam.main(
        [
            f"--input={tmp_path}/images.tfrecord",
            "--input_format=tfrecord",
            "--id_feature=key",
            f"--model={path}",
            f"--output={tmp_path}/out/scores",
            "--output_format=parquet",
        ]
    )
    (shard,) = (tmp_path / "out").glob("*.parquet")
    check(pyarrow.parquet.read_table(shard).to_pylist(), model, pictures)
    assert "4 images scored, 2 unreadable" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [({"input": "nothing/*.png"}, "No file fits --input=nothing"), ({"model": "nowhere"}, "--model=nowhere")],
)
def test_wrong_arguments_end_with_one_sentence(detector, photos, tmp_path, capsys, changed, complaint):
    arguments = {"input": f"{photos[0]}/*.png", "model": detector[1], "output": tmp_path / "out", **changed}
    with pytest.raises(SystemExit) as stopped:
        beam.main([f"--{name}={value}" for name, value in arguments.items()])
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert complaint in line


def test_without_beam_one_sentence_says_how_to_install_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(SystemExit) as stopped:
        beam.main(["--input=a", "--model=b", "--output=c"])
    assert stopped.value.code == 2
    assert 'pip install "agad_tf[beam]"' in capsys.readouterr().err


def test_help_answers_at_once():
    started = time.monotonic()
    command = [sys.executable, "-m", "agad_tf.beam", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert time.monotonic() - started < 1
    assert "--output_format" in done.stdout
