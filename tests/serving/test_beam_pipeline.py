import csv
import io
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import tensorflow as tf
from apache_beam.io.fileio import ReadableFile
from apache_beam.io.filesystem import FileMetadata
from apache_beam.runners.direct import DirectRunner
from PIL import Image

from agad_tf import beam
from agad_tf.data.preprocessing import to_network_input
from agad_tf.evaluation.thresholds import Decision
from agad_tf.serving.beam_pipeline import DetectorHandler, read_file
from agad_tf.serving.saved_model import export_saved_model

THRESHOLD = 8.0


@pytest.fixture
def detector(build_model, tmp_path):
    """A model and the folder of its SavedModel."""
    model = build_model()
    export_saved_model(model, Decision(THRESHOLD, "", 1.0, 1.0, ""), tmp_path / "saved_model")
    return model, tmp_path / "saved_model"


@pytest.fixture
def photos(tmp_path):
    """A folder of images of several sizes, with one file that is none; and the images by path."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    pictures = {}
    for number, shape in enumerate([(16, 16), (20, 30), (16, 16), (40, 40)]):
        path = folder / f"{number}, of 4.png"
        pictures[str(path)] = rng.integers(0, 256, shape, np.uint8)
        Image.fromarray(pictures[str(path)]).save(path)
    (folder / "broken.png").write_bytes(b"no image")
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


def test_scores_keep_their_places_in_a_batch_of_mixed_sizes(detector, photos):
    (model, path), (_, pictures) = detector, photos
    handler = DetectorHandler(str(path))
    found = handler.run_inference([pixels[..., None] for pixels in pictures.values()], handler.load_model())
    assert [score for score, _ in found] == pytest.approx(list(expected_scores(model, pictures).values()), rel=1e-5)


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
    [
        ({"input": "nothing/*.png"}, "No file matches --input=nothing"),
        ({"input": "nosuch://files/*.png"}, "Files of --input=nosuch://files/*.png cannot be listed"),
        ({"model": "nowhere"}, "--model=nowhere"),
        ({"runner": "NoSuchRunner"}, "Unexpected pipeline runner: NoSuchRunner"),
    ],
)
def test_wrong_arguments_end_with_one_sentence(detector, photos, tmp_path, capsys, changed, complaint):
    arguments = {"input": f"{photos[0]}/*.png", "model": detector[1], "output": tmp_path / "out", **changed}
    with pytest.raises(SystemExit) as stopped:
        beam.main([f"--{name}={value}" for name, value in arguments.items()])
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert complaint in line


def test_several_workers_write_shards_with_a_header_each(detector, photos, tmp_path):
    (model, path), (folder, pictures) = detector, photos
    workers = ["--direct_num_workers=2", "--direct_running_mode=multi_threading"]
    beam.main([f"--input={folder}/*.png", f"--model={path}", f"--output={tmp_path}/out/scores", *workers])
    shards = list((tmp_path / "out").glob("*.csv"))
    assert all(shard.read_text().startswith("id,score,is_anomaly\n") for shard in shards)
    check(read_csv(tmp_path / "out"), model, pictures)


class UncountedRunner(DirectRunner):
    """A runner without metrics, as DaskRunner is."""

    def run_pipeline(self, pipeline, options):
        def metrics():
            raise NotImplementedError("later")

        result = super().run_pipeline(pipeline, options)
        result.metrics = metrics
        return result


def test_a_runner_without_counts_leaves_the_result_unknown(detector, photos, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        beam.main(
            [
                *(f"--input={photos[0]}/*.png", f"--model={detector[1]}", f"--output={tmp_path}/out/scores"),
                f"--runner={__name__}.UncountedRunner",
            ]
        )
    assert stopped.value.code == 1
    assert "its runner reports no counts" in capsys.readouterr().err


def test_files_that_cannot_be_opened_or_have_odd_names_do_not_end_the_run(detector, photos, tmp_path, capsys):
    folder, pictures = photos
    (folder / "broken.png").rename(folder / "broken.png.gz")  # which Beam fails to unpack
    Path(next(iter(pictures))).rename(os.fsdecode(bytes(folder) + b"/\xff.png"))
    beam.main([f"--input={folder}/*", f"--model={detector[1]}", f"--output={tmp_path}/out/scores"])
    assert "4 images scored, 1 unreadable" in capsys.readouterr().out
    assert {row["id"] for row in read_csv(tmp_path / "out")} == {*list(pictures)[1:], f"{folder}/\\xff.png"}


def test_a_file_that_has_vanished_is_read_as_nothing(tmp_path):
    vanished = FileMetadata(str(tmp_path / "vanished.png"), 1)
    assert read_file(ReadableFile(vanished)) == (vanished.path, b"")


def test_the_command_fails_with_one_sentence(detector, photos, tmp_path):
    (tmp_path / "file").touch()
    command = [sys.executable, "-m", "agad_tf.beam", f"--input={photos[0]}/*.png", f"--model={detector[1]}"]
    done = subprocess.run([*command, f"--output={tmp_path}/file/out"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("agad_tf: The pipeline failed: ")


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
