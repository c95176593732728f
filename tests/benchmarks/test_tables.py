import csv
import shutil

import pytest

from tests.benchmarks import record, recorded, tables


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A copy of the results that a test may change."""
    copy = tmp_path / "results"
    shutil.copytree(tables.RESULTS, copy)
    monkeypatch.setattr(tables, "RESULTS", copy)
    return copy / "measured.csv"


def append(path, **values):
    with path.open(newline="", encoding="utf-8") as file:
        columns = csv.DictReader(file).fieldnames
    with path.open("a", newline="", encoding="utf-8") as file:
        csv.DictWriter(file, columns, restval="", lineterminator="\n").writerow(values)


NEW = {
    **{"dataset": "cifar100", "normal_class": "3", "gamma": "0.0", "generator": "unet", "method": "agad", "seed": "0"},
    **{"learning_rate_schedule": "cosine", "epochs": "7", "width": "1.0", "protocol": "per_image", "auroc": "61.25"},
}


def test_the_documents_have_the_tables_of_the_csv_files():
    tables.main(["--check"])


def test_every_table_stands_in_a_document():
    shown = {name for path in tables.DOCUMENTS for name, _ in tables.BLOCK.findall(path.read_text(encoding="utf-8"))}
    assert shown == set(tables.TABLES)


def test_the_check_names_the_tables_that_differ(results):
    append(results, **NEW)
    with pytest.raises(SystemExit, match=r"Differ from the CSV files: README\.md: headline; .*setting\. Run "):
        tables.main(["--check"])


def test_a_new_row_is_in_the_headline_and_only_its_protocol_is_run(results):
    append(results, **NEW)
    assert "| CIFAR-100 | UNet | cosine | 7 | 3 | 92.8 | not run | not run | 61.3 |" in tables.headline()


def test_a_row_says_that_half_of_the_training_images_were_used(results):
    append(results, **{**NEW, "note": "half of the training images"})
    assert "| CIFAR-100, half | UNet | cosine | 7 | 3 | 92.8 | not run | not run | 61.3 |" in tables.headline()
    assert "| cifar100 (half) | unet | cosine | 7 | 3 |" in tables.by_class()


@pytest.mark.parametrize("other", [{"variant": "--contextual_adversarial=False"}, {"dataset": "digits"}])
def test_a_run_of_another_setting_is_among_the_other_runs(results, other):
    before = tables.headline()
    append(results, **{**NEW, **other})
    assert tables.headline() == before
    assert "61.25" in tables.other_runs()


def test_every_row_is_in_a_table_and_none_hides_another():
    rows = tables.read("measured.csv")
    assert {row["experiment"] for row in rows} <= {"", *recorded.RECORDED}
    for experiment, table in recorded.RECORDED.items():
        found = recorded.where(rows, experiment=experiment)
        places = recorded.distinct(found, *table.index, *table.columns)
        assert len(places) == len(found), experiment


def test_a_table_is_written_between_its_markers_and_an_unknown_one_is_named():
    text = tables.with_tables("before\n<!-- table: paper -->\nold\n<!-- end -->\nafter\n")
    assert text.startswith("before\n<!-- table: paper -->\n| data set | γ |")
    assert text.endswith("|\n<!-- end -->\nafter\n")
    with pytest.raises(SystemExit, match=r"No table is called 'absent'; choose one of "):
        tables.with_tables("<!-- table: absent -->\n<!-- end -->")


def test_a_table_says_whether_a_change_was_kept():
    rows = [
        {**dict.fromkeys(record.COLUMNS, ""), "variant": name, "score": "smoothed", "auroc": "91.7", "note": note}
        for name, note in (("none", ""), ("wider", "by a script; kept: no, slower; not recorded: commit"))
    ]
    assert recorded.Recorded(("variant",), ("score",)).of(rows).splitlines() == [
        "| setting | smoothed | kept |",
        "| --- | --- | --- |",
        "| none | 91.7 | |",
        "| wider | 91.7 | no, slower |",
    ]


def test_sides_that_were_measured_in_turns_have_medians_and_ratios(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    setting = {"commit": "abc", "date": "2026-11-27", "machine": "here", "generator": "unet", "image_size": "32"}
    setting |= {"width": "1.0", "batch_size": "64", "precision": "float32", "share": "0.5", "peak_mib": "900"}
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*setting, "framework", "step_ms", "scored_per_second"])
        writer.writeheader()
        for framework, steps in (("tensorflow", (100, 110, 900)), ("torch", (220, 200, 240))):
            for step in steps:
                writer.writerow({**setting, "framework": framework, "step_ms": step, "scored_per_second": 2 * step})
    table = tables.in_turns("rows.csv", "framework", [("tensorflow", "ours"), ("torch", "PyTorch")])
    assert "| UNet | 32 px | 1 | 64 | float32 | 110 | 220 | **0.50** | 220 | 440 | **0.50** | 0.50 | 900 MiB |" in table
    assert table.endswith("- rows.csv: here (abc 2026-11-27)\n")
