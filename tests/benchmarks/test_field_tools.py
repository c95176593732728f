"""Every tool that is run by hand, at its smallest: it runs to its end and prints what it is there for."""

import csv
import json
import sys

import numpy as np
import pytest
from PIL import Image

from agad_tf.config.choices import GENERATORS
from agad_tf.networks import convolutions as restated
from agad_tf.networks.convolutions import Convolution, TransposedConvolution
from tests.benchmarks import __main__ as benchmarks
from tests.benchmarks import (
    agreement,
    development,
    mean_image,
    measure,
    one_labelled_kind,
    predicting,
    products,
    scaling,
    steadiness,
    waiting,
)

TINY = ("--image_size=16", "--width=0.0625")
DIGITS = ("--dataset=digits", "--image_size=16", "--width=0.0625", "--batch_size=16", "--epochs=1")


@pytest.fixture
def measure_little(monkeypatch, capsys):
    """A function that measures one configuration at the smallest size."""

    def call(*arguments):
        monkeypatch.setattr(measure, "MATRIX_SIDE", 16)
        monkeypatch.setattr(sys, "argv", ["measure", "--batch_size=2", "--rounds=1", *arguments])
        measure.main()
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    return call


def test_measure_times_a_step_and_both_ways_to_score(measure_little):
    assert all(measure_little()[f"{name}_ms"] > 0 for name in ("step", "score", "saved_model"))


def test_plain_convolutions_are_timed_in_place_of_the_restated_ones(measure_little, monkeypatch):
    for layer, name in ((Convolution, "convolution_op"), (TransposedConvolution, "call")):
        monkeypatch.setattr(layer, name, layer.__dict__[name])  # what the measurement replaces comes back
    for name in ("_convolution", "_transposed_convolution", "_patches_times_kernel", "_kernel_to_patches"):
        monkeypatch.setattr(restated, name, None)
    found = measure_little("--convolutions=plain", "--generator=unet", *TINY, "--served=0")
    assert found["step_ms"] > 0
    assert "saved_model_ms" not in found


@pytest.mark.parametrize("generator", GENERATORS)
def test_measure_times_pytorch(measure_little, generator):
    pytest.importorskip("torch")
    assert measure_little("--framework=torch", f"--generator={generator}", *TINY)["step_ms"] > 0


@pytest.mark.parametrize("generator", GENERATORS)
def test_pytorch_computes_what_ours_computes(generator, capsys):
    pytest.importorskip("torch")
    agreement.main([f"--generators={generator}", "--image_sizes=16,48", "--width=0.125"])
    apart = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(apart) == [f"{generator}, 16 px", f"{generator}, 48 px"]
    for first, *later in apart.values():
        assert first < 1e-5
        assert max(later) < 0.005


def test_agreement_without_pytorch_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SystemExit, match=r"^PyTorch is not installed"):
        agreement.main([])


def test_measuring_pytorch_without_it_is_one_sentence(monkeypatch, measure_little):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SystemExit, match=r"^PyTorch is not installed"):
        measure_little("--framework=torch")


FOUND = {"step_ms": 2.0, "score_ms": 1.0, "matmul_gflops": 50.0, "seconds_to_first_step": 1.0, "peak_mib": 1.0}


@pytest.mark.parametrize("with_torch", [True, False])
def test_a_quick_look_compares_with_pytorch_or_says_how_to_install_it(tmp_path, monkeypatch, capsys, with_torch):
    def child(module, *arguments):
        slower = 2 if "--framework=torch" in arguments else 1
        return {**FOUND, "step_ms": 2.0 * slower}

    monkeypatch.setattr(benchmarks, "run_child", child)
    monkeypatch.setattr(benchmarks, "has_torch", lambda: with_torch)
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--quick", f"--csv={tmp_path / 'rows.csv'}"])
    benchmarks.main()
    said = capsys.readouterr().out
    assert "float32: 32000 images a second trained" in said
    assert ("2.00 times PyTorch's 16000" in said) == with_torch
    assert ("pip install torch" in said) != with_torch


@pytest.mark.parametrize(("load", "says"), [(0.1, False), (3.0, True)])
def test_a_busy_machine_is_told_and_stands_in_the_rows(tmp_path, monkeypatch, capsys, load, says):
    monkeypatch.setattr(benchmarks, "run_child", lambda *_: FOUND)
    monkeypatch.setattr(benchmarks, "has_torch", lambda: False)
    monkeypatch.setattr(benchmarks.os, "getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr(benchmarks, "ROWS", tmp_path / "speed.csv")
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--quick"])
    benchmarks.main()
    assert ("This machine is busy" in capsys.readouterr().out) == says
    rows = list(csv.DictReader((tmp_path / "speed.csv").open()))
    assert [float(row["load"]) for row in rows] == [load] * 2


def test_the_peer_without_pytorch_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmarks, "has_torch", lambda: False)
    with pytest.raises(SystemExit, match="pip install torch"):
        call_benchmarks(monkeypatch, tmp_path, "--only=peer")


def call_benchmarks(monkeypatch, tmp_path, *arguments):
    """Runs the command, and gives the rows that it wrote."""
    path = tmp_path / "rows.csv"
    monkeypatch.setattr(sys, "argv", ["benchmarks", f"--csv={path}", *arguments])
    benchmarks.main()
    return list(csv.DictReader(path.open()))


def test_the_peer_is_measured_in_turns_at_every_size(tmp_path, monkeypatch, capsys):
    def child(module, *arguments):
        if module == "tests.benchmarks.agreement":
            return {"unet, 32 px": [1e-7, 2e-4]}
        return {**FOUND, "step_ms": 4.0 if "--framework=torch" in arguments else 3.0}

    monkeypatch.setattr(benchmarks, "run_child", child)
    monkeypatch.setattr(benchmarks, "has_torch", lambda: True)
    sizes = ("--generators=unet", "--image_size=32,128,256", "--turns=2")
    rows = call_benchmarks(monkeypatch, tmp_path, "--only=peer", *sizes)
    said = capsys.readouterr().out
    assert "unet, 32 px: losses of 2 steps agree to 2e-04, of the first to 1e-07" in said
    assert "unet, 128 px, width 0.25, batch 16, bfloat16: step_ms 3 (ours) to 4 (PyTorch), ratio 0.75" in said
    assert [row["framework"] for row in rows] == ["tensorflow", "torch"] * 12
    settings = dict.fromkeys((row["image_size"], row["width"], row["batch_size"]) for row in rows)
    assert list(settings) == [("32", "1.0", "64"), ("128", "0.25", "16"), ("256", "0.25", "4")]


def test_convolutions_are_measured_in_turns(tmp_path, monkeypatch, capsys):
    smallest = ("--generators=unet", "--image_size=16", "--width=0.0625", "--batch_size=2", "--turns=1")
    monkeypatch.setattr(benchmarks, "PRECISIONS", ("float32",))
    rows = call_benchmarks(monkeypatch, tmp_path, "--only=convolutions", *smallest)
    assert [(row["convolutions"], row["image_size"], row["width"]) for row in rows] == [
        ("restated", "16", "0.0625"),
        ("plain", "16", "0.0625"),
    ]
    assert "(restated) to" in capsys.readouterr().out


def test_rows_are_not_mixed_with_those_of_other_columns(tmp_path, monkeypatch):
    (tmp_path / "rows.csv").write_text("date,commit\n")
    monkeypatch.setattr(benchmarks, "run_child", lambda *_: FOUND)
    with pytest.raises(SystemExit, match="other columns"):
        call_benchmarks(monkeypatch, tmp_path, "--quick")


def test_an_unknown_generator_is_a_usage_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmarks, "run_child", lambda *_: FOUND)
    with pytest.raises(SystemExit, match="2"):
        call_benchmarks(monkeypatch, tmp_path, "--generators=unet,vae", "--only=convolutions", "--turns=1")
    assert "'unet,vae' should be of encoder_decoder" in capsys.readouterr().err


def test_scaling_prints_an_efficiency_for_every_generator(monkeypatch, capsys):
    monkeypatch.setattr(scaling, "GENERATORS", ("encoder_decoder",))
    scaling.main()
    assert "512 GPUs" in capsys.readouterr().out


def test_products_are_timed_by_both_compilers(monkeypatch, capsys):
    for name, value in {"BATCH": 1, "MATRIX_SIDE": 8, "ROUNDS": 1, "CONVOLUTIONS": ((4, 2, 2, 3, 1),)}.items():
        monkeypatch.setattr(products, name, value)
    products.main()
    assert "4×4×2 → 2" in capsys.readouterr().out


def test_waiting_is_a_share(monkeypatch, capsys):
    monkeypatch.setattr(waiting, "STEPS", 1)
    waiting.main([*DIGITS, "--min_anomalies=2"])
    assert 0 <= json.loads(capsys.readouterr().out.splitlines()[-1])["share"] <= 1


def test_the_mean_image_is_worth_something(monkeypatch, capsys):
    monkeypatch.setattr(mean_image, "CLASS_COUNTS", {"digits": 2})
    mean_image.main(DIGITS)
    assert "mahalanobis" in capsys.readouterr().out


def test_steadiness_looks_at_the_last_epochs(capsys):
    steadiness.main(DIGITS)
    assert "moves by 0.00" in capsys.readouterr().out


def test_one_labelled_kind_prints_a_line_for_each(monkeypatch, capsys):
    monkeypatch.setattr(one_labelled_kind, "CLASS_COUNTS", {"digits": 3})
    one_labelled_kind.main([*DIGITS, "--gamma=0.1"])
    printed = capsys.readouterr().out
    assert "0 normal, 2 labelled" in printed
    assert "0 normal, mean" in printed


def test_development_judges_every_norm(monkeypatch, capsys):
    monkeypatch.setattr(development, "NORMALS", 20)
    monkeypatch.setattr(development, "ANOMALIES_OF_A_CLASS", 5)
    development.main([*DIGITS, "--classes=1"])
    assert "combined" in capsys.readouterr().out


def test_predicting_compares_files_with_memory(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    for number in range(12):
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), np.uint8)).save(tmp_path / f"{number}.png")
    monkeypatch.setattr(predicting, "SAMPLE_SECONDS", 0.2)
    monkeypatch.setattr(sys, "argv", ["predicting", f"--pictures={tmp_path}", "--count=12", "--width=0.0625"])
    predicting.main()
    assert "12 images" in capsys.readouterr().out
