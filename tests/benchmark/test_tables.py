import pytest

from agad_tf.benchmark.tables import by_class, summarize, tidy, write_tables


def result(**changes):
    settings = {
        "dataset": "fashion_mnist",
        "normal_class": 0,
        "gamma": 0.0,
        "anomaly_classes": [],
        "method": "agad",
        "generator": "encoder_decoder",
        "width": 1.0,
        "epochs": 12,
        "seed": 0,
    }
    figures = {name: changes.pop(name) for name in ("auroc_seen", "auroc_unseen") if name in changes}
    protocols = {
        "per_image": {"auroc": changes.pop("auroc", 0.9), **figures},
        "family_shuffled": {"auroc": 0.85},
        "family": {"auroc": 0.99, "last_epoch_auroc": 0.97},
    }
    if changes.get("method") == "knn":
        protocols = {"per_image": protocols["per_image"]}
    facts = {"data_origin": "here", "seconds": changes.pop("seconds", 1.0), "versions": {"keras": "3"}}
    return {**settings, **changes, **facts, "protocols": protocols}


def rows(*results):
    return summarize(tidy(results)).to_dict("records")


@pytest.mark.parametrize("new", [{"synthetic_anomalies": ["warp"]}, {"score": "mahalanobis"}])
def test_runs_of_an_earlier_version_are_told_from_those_with_options_that_it_did_not_have(new):
    found = rows(result(auroc=0.5), result(auroc=0.9, **new))
    assert sorted(row["per_image"] for row in found) == ["50.0", "90.0"]
    assert len(rows(result(auroc=0.5), result(auroc=0.7, synthetic_anomalies=[]))) == 1


def test_a_row_of_the_tidy_table_is_a_protocol_of_a_run():
    table = tidy([result(), result(method="knn")])
    assert list(table["protocol"]) == ["per_image", "family_shuffled", "family", "per_image"]
    assert table.loc[2, "auroc"] == 0.99
    assert table.loc[2, "version_keras"] == "3"


def test_figures_are_averaged_over_classes_and_seeds_beside_the_published_one():
    (row,) = rows(result(auroc=0.8), result(auroc=0.9, normal_class=1), result(auroc=1.0, seed=1, seconds=9.0))
    assert row == {
        "gamma": 0.0,
        "classes": 2,
        "runs": 3,
        "per_image": "90.0 ± 10.0",
        "family_shuffled": "85.0 ± 0.0",
        "family": "99.0 ± 0.0",
        "family, last epoch": "97.0 ± 0.0",
        "published": "99.2",
    }


def test_settings_that_differ_tell_rows_apart():
    found = rows(result(), result(width=0.5), result(gamma=0.05))
    assert [(row["gamma"], row["width"]) for row in found] == [(0.0, 0.5), (0.0, 1.0), (0.05, 1.0)]
    assert found[2]["published"] == "100.0 (unet_plus_plus)"


@pytest.mark.parametrize(
    ("changes", "figure"),
    [
        ({}, "99.2"),
        ({"synthetic_anomalies": ["warp"]}, ""),
        ({"width": 0.25}, ""),
        ({"horizontal_flip": True}, ""),
        ({"contextual_adversarial": False}, ""),
        ({"gamma": 0.05}, "100.0 (unet_plus_plus)"),
        ({"gamma": 0.05, "anomaly_classes": [1]}, ""),
        ({"gamma": 0.05, "anomaly_normalization": "frozen"}, ""),
        ({"gamma": 0.05, "contextual_adversarial": False}, ""),
        ({"method": "ganomaly"}, ""),
        ({"learning_rate_schedule": "cosine", "epochs": 3}, "99.2"),
        # Table 4.
        ({"dataset": "cifar10", "generator": "unet"}, "92.5"),
        ({"dataset": "cifar10", "generator": "unet", "contextual_adversarial": False}, "88.9"),
    ],
)
def test_a_published_figure_stands_beside_its_own_setting_alone(changes, figure):
    (row,) = rows(result(**changes))
    assert row.get("published", "") == figure


def test_what_a_baseline_does_not_read_tells_no_rows_apart():
    found = rows(result(epochs=8), result(method="knn", epochs=12), result(method="knn", epochs=3, normal_class=1))
    assert [(row["method"], row["runs"]) for row in found] == [("agad", 1), ("knn", 2)]
    assert "epochs" not in found[0]
    table = by_class(tidy([result(epochs=8), result(epochs=9), result(method="knn")])).to_dict("records")
    assert [row["epochs"] for row in table] == [8, 9, ""]
    assert [row["epochs"] for row in rows(result(epochs=8), result(epochs=9), result(method="knn"))] == [8, 9, ""]


def test_the_schema_of_an_earlier_version_is_no_setting():
    assert len(rows(result(schema_version=1), result(schema_version=2, normal_class=1))) == 1


def test_runs_with_warnings_are_counted():
    assert "with warnings" not in rows(result(warnings=[]))[0]
    (row,) = rows(result(warnings=["collapsed"]), result(warnings=[], seed=1), result(seed=2))
    assert row["with warnings"] == 1


def test_the_tables_say_how_many_runs_there_are_and_what_they_share(tmp_path):
    runs = [result(seed=seed, contextual_adversarial=False, synthetic_anomalies=["warp"]) for seed in (0, 1)]
    markdown = write_tables([*runs, result(method="knn")], "3 of 7 runs are finished.", tmp_path)
    shared = "dataset fashion_mnist, generator encoder_decoder, epochs 12, width 1.0, contextual_adversarial False"
    note = f'3 of 7 runs are finished. All runs: {shared}, synthetic_anomalies ["warp"]. Mean AUROC'
    assert note in markdown
    assert note.replace('"', "&#34;") in (tmp_path / "benchmark.html").read_text()
    assert 'border="' not in (tmp_path / "benchmark.html").read_text()


def test_own_sets_are_told_apart_by_their_place():
    found = rows(*(result(dataset="npz", data_dir=place) for place in ("a.npz", "b.npz")))
    assert [row["data_dir"] for row in found] == ["a.npz", "b.npz"]


def test_the_score_of_the_oracle_f1_is_no_setting(tmp_path):
    run = result(method="knn")
    run["protocols"]["per_image"]["oracle_threshold"] = 2.5
    assert "oracle_threshold" not in write_tables([run], "", tmp_path)
    header = (tmp_path / "benchmark.csv").read_text().splitlines()[0].split(",")
    assert not {"workdir", "mode", "devices"} & set(header)


def test_the_threshold_has_a_column():
    table = tidy([{**result(), "detector": {"threshold": 2.5}}])
    assert set(table["detector_threshold"]) == {2.5}


def test_a_baseline_has_one_figure_and_no_published_one():
    found = {row["method"]: row for row in rows(result(), result(method="knn", auroc=0.923))}
    assert found["knn"]["per_image"] == "92.3"
    assert found["knn"]["family"] == found["knn"]["published"] == ""


def test_columns_that_no_run_has_a_figure_for_are_left_out():
    (row,) = rows(result(method="knn"))
    assert set(row) == {"gamma", "classes", "runs", "per_image"}


def test_which_single_class_was_labelled_is_averaged_over():
    one = [result(gamma=0.05, anomaly_classes=[c], auroc_seen=0.9, auroc_unseen=0.5 + c / 10) for c in (1, 2)]
    found = {row["labelled"]: row for row in rows(*one, result(gamma=0.05))}
    assert found["one class"]["runs"] == 2
    assert found["one class"]["unseen classes"] == "65.0 ± 7.1"
    assert found["all"]["unseen classes"] == ""


def test_classes_have_columns():
    table = by_class(tidy([result(auroc=0.8), result(auroc=0.9, seed=1), result(auroc=0.7, normal_class=3)]))
    assert table.columns.name is None, "HTML would show it as a column"
    assert table.to_dict("records") == [{"gamma": 0.0, 0: pytest.approx(85.0), 3: pytest.approx(70.0)}]


def test_runs_without_test_anomalies_have_rows_without_auroc(tmp_path):
    alone = result(auroc=None, dataset="folder", data_dir="a")
    alone["protocols"] = {"per_image": {**alone["protocols"]["per_image"], "synthetic_auroc": 0.8}}
    (row,) = rows(alone)
    assert (row["synthetic anomalies"], row["runs"]) == ("80.0", 1)
    assert "per_image" not in row
    both = rows(alone, result(dataset="folder", data_dir="b", auroc=0.75))
    assert sorted(row["per_image"] for row in both) == ["", "75.0"]
    assert "Benchmark" in write_tables([alone, alone], "All done.", tmp_path)
    by_class(tidy([alone]))
