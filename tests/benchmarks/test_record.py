import csv
import json

from tests.benchmarks import record

RUN = {
    **{"dataset": "digits", "normal_class": 8, "gamma": 0.0, "generator": "unet", "method": "agad", "seed": 0},
    **{"epochs": 2, "learning_rate_schedule": "cosine", "width": 1.0, "mixed_precision": "none", "seconds": 3.5},
    "protocols": {
        "per_image": {"auroc": 0.91234, "auroc_low": 0.9, "auroc_high": 0.95, "epoch": 2},
        "family": {"auroc": 0.99, "auroc_low": 0.98, "auroc_high": 1.0, "epoch": 1, "last_epoch_auroc": 0.97},
    },
}


def test_runs_are_recorded_once(tmp_path):
    arguments = [str(tmp_path / "runs"), "--commit=abc1234", "--command=train", f"--csv={tmp_path / 'measured.csv'}"]
    for seed in (0, 1):
        folder = tmp_path / "runs" / f"seed{seed}"
        folder.mkdir(parents=True)
        (folder / "results.json").write_text(json.dumps({**RUN, "seed": seed}))
        record.main(arguments)
        record.main(arguments)
    with (tmp_path / "measured.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["seed"], row["protocol"]) for row in rows] == [
        *(("0", "per_image"), ("0", "family"), ("1", "per_image"), ("1", "family"))
    ]
    assert (rows[0]["auroc"], rows[0]["last_epoch_auroc"]) == ("91.23", "")
    assert (rows[1]["auroc"], rows[1]["last_epoch_auroc"], rows[1]["commit"]) == ("99.00", "97.00", "abc1234")
    assert all(row["processor"] for row in rows)


def test_runs_that_differ_in_another_option_are_told_apart(tmp_path):
    for name, value in (("with", True), ("without", False)):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        (folder / "results.json").write_text(json.dumps({**RUN, "contextual_adversarial": value}))
    arguments = ["--commit=abc1234", "--command=train", "--experiment=ablations"]
    record.main([str(tmp_path / "runs"), *arguments, f"--csv={tmp_path / 'measured.csv'}"])
    with (tmp_path / "measured.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["experiment"] for row in rows} == {"ablations"}
    assert [row["variant"] for row in rows] == ["", "", *["--contextual_adversarial=False"] * 2]
    assert tuple(rows[0]) == record.COLUMNS


def test_the_set_behind_own_arrays_is_named(tmp_path):
    (tmp_path / "results.json").write_text(json.dumps({**RUN, "dataset": "npz"}))
    arguments = ["--commit=abc1234", "--command=train", "--dataset=pneumoniamnist"]
    for _ in range(2):
        record.main([str(tmp_path), *arguments, f"--csv={tmp_path / 'measured.csv'}"])
    with (tmp_path / "measured.csv").open() as file:
        assert [row["dataset"] for row in csv.DictReader(file)] == ["pneumoniamnist"] * 2


def test_rows_that_are_in_the_file_stay(tmp_path):
    (tmp_path / "results.json").write_text(json.dumps(RUN))
    results = tmp_path / "measured.csv"
    known = "".join(f"abc1234{',' * (len(record.COLUMNS) - 4)}moves by,{value},,\n" for value in (1, 2))
    results.write_text(",".join(record.COLUMNS) + "\n" + known)
    record.main([str(tmp_path), "--commit=abc1234", "--command=train", f"--csv={results}"])
    assert known in results.read_text()
    assert len(results.read_text().splitlines()) == 5
