"""What users run into with a run that is there already: moved data, other images, more epochs, another threshold."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from absl import flags
from PIL import Image

from agad_tf.config.errors import UsageError
from agad_tf.config.flags import config_from_flags, define_flags, read_config, to_flagfile
from agad_tf.files.workdir import Workdir
from agad_tf.training import run as training
from agad_tf.training.images import load_images
from agad_tf.training.run_folder import holds_other_images, used_by_this_process_alone, write_set_up
from tests.runs import digits_run


def write_images(folder, count=12):
    for label, many in (("good", count), ("bad", 4)):
        (folder / label).mkdir(parents=True)
        for number in range(many):
            pixels = np.random.default_rng(number).integers(0, 256, (16, 16), np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number}.png")
    (folder / "good" / "broken.png").write_bytes(b"rubbish")


@pytest.fixture
def config(tmp_path):
    write_images(tmp_path / "photos")
    own = {"dataset": "folder", "data_dir": "photos", "normal_class": "good", "gamma": 0.0, "protocols": ("per_image",)}
    return digits_run("run", **own, batch_size=8, epochs=1)


def results_of(config):
    return json.loads(Workdir(config.folder).results.read_text())


def test_moved_data_is_no_other_run(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    training.train(config)
    run = tmp_path / "run"
    assert read_config(run).data_dir == str(tmp_path / "photos")
    before = Workdir(run).scores.read_bytes()
    (tmp_path / "elsewhere").mkdir()
    shutil.move(tmp_path / "photos", tmp_path / "elsewhere" / "images")
    monkeypatch.chdir("/")
    moved = dataclasses.replace(config, data_dir=str(tmp_path / "elsewhere" / "images"), workdir=str(run))
    training.evaluate(moved)
    assert Workdir(run).scores.read_bytes() == before
    # Training finds its run again, with the broken image left out.
    training.train(moved)


def test_an_unfinished_run_is_not_continued_with_other_images(config, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    training.train(config)
    Workdir(config.folder).results.unlink()
    write_images(tmp_path / "others", count=13)
    with pytest.raises(UsageError, match="does not hold the images that"):
        training.train(dataclasses.replace(config, data_dir="others"))
    training.train(config)
    assert Workdir(config.folder).results.exists()
    training.evaluate(dataclasses.replace(config, data_dir="others"))
    assert "others holds other images than the run was trained on" in capsys.readouterr().out


def test_an_image_that_was_replaced_is_another_image(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    training.train(config)
    Image.new("L", (16, 16)).save(tmp_path / "photos" / "good" / "0.png")
    with pytest.raises(UsageError, match="does not hold the images that"):
        training.train(dataclasses.replace(config, epochs=2))


def test_replaced_pixels_of_arrays_are_other_images(tmp_path):
    run = digits_run(tmp_path / "run", epochs=1, protocols=("per_image",))
    images, _ = load_images(run)
    workdir = Workdir(run.folder)
    with used_by_this_process_alone(workdir):
        write_set_up(workdir, run, images)
    assert not holds_other_images(workdir, images)
    assert holds_other_images(workdir, dataclasses.replace(images, x_train=images.x_train // 2))


def test_a_finished_run_takes_another_threshold(config, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    training.train(config)
    training.train(dataclasses.replace(config, threshold="123.0"))
    assert results_of(config)["detector"]["threshold"] == 123.0
    assert "the new flags require" in capsys.readouterr().out
    training.train(config)
    assert results_of(config)["detector"]["threshold"] != 123.0


def test_a_finished_run_takes_another_protocol(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    training.train(config)
    training.train(dataclasses.replace(config, protocols=("per_image", "family_shuffled")))
    assert set(results_of(config)["protocols"]) == {"per_image", "family_shuffled"}


def test_an_interrupted_run_goes_on_for_more_epochs(config, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    training.train(config)
    Workdir(config.folder).results.unlink()
    training.train(dataclasses.replace(config, epochs=2))
    assert "Continuing after epoch 1 of 2" in capsys.readouterr().out


def test_a_threshold_that_was_chosen_again_holds_for_later_calls(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    training.train(config)
    training.evaluate(dataclasses.replace(config, threshold="123.0"))
    for mode in ("evaluate", "train"):
        flag_values = flags.FlagValues()
        define_flags(flag_values)
        given = {"dataset", "data_dir", "workdir", *config.settings()} if mode == "train" else {"workdir"}
        lines = to_flagfile(config).splitlines()
        chosen = [line for line in lines if line.partition("=")[0].removeprefix("--") in given]
        flag_values(["agad_tf", f"--mode={mode}", *chosen])
        assert config_from_flags(flag_values).threshold == "123.0"


def test_a_finished_run_goes_on_for_more_epochs_at_a_constant_rate(config, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    training.train(config)
    training.train(dataclasses.replace(config, epochs=2))
    assert "Continuing after epoch 1 of 2" in capsys.readouterr().out
    assert results_of(config)["epochs"] == 2
    longer = dataclasses.replace(config, workdir="unbroken", epochs=2)
    training.train(longer)
    assert Workdir(config.folder).scores.read_bytes() == Workdir(longer.folder).scores.read_bytes()


def test_a_run_whose_rate_has_fallen_is_not_trained_for_longer(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    falling = dataclasses.replace(config, learning_rate_schedule="cosine")
    training.train(falling)
    with pytest.raises(UsageError, match="whose learning rate falls to 0 over --epochs=1; give another --workdir"):
        training.train(dataclasses.replace(falling, epochs=3))


def test_a_finished_run_says_that_it_does_not_look_at_other_data(config, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    training.train(config)
    training.train(config)
    assert "was not read" not in capsys.readouterr().out
    write_images(tmp_path / "others")
    training.train(dataclasses.replace(config, data_dir="others"))
    assert (
        f"--data_dir=others was not read, because the run was trained on {tmp_path}/photos" in capsys.readouterr().out
    )
