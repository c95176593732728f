from agad_tf.evaluation.results import threshold_uncertainty
from agad_tf.reporting.terminal_table import print_table

FIGURES = {
    "auroc": 0.9123,
    "auroc_low": 0.9,
    "auroc_high": 0.92,
    "average_precision": 0.8,
    "fpr_at_95_tpr": 0.3,
    "oracle_f1": 0.7,
    "oracle_threshold": 3.0,
    "epoch": 7,
}
RESULTS = {
    "dataset": "digits",
    "normal_class": 0,
    "gamma": 0.05,
    "generator": "unet",
    "seed": 1,
    "method": "agad",
    "channels": 1,
    "detector": {
        "threshold": 3.25,
        "threshold_source": "best F1 on validation images",
        "false_positive_rate": 0.01,
        "true_positive_rate": 0.6,
    },
    "protocols": {"per_image": FIGURES, "family": {**FIGURES, "auroc": 0.999}},
}


def test_a_baseline_has_no_epoch(capsys):
    print_table({**RESULTS, "method": "knn", "protocols": {"per_image": {**FIGURES, "epoch": None}}})
    printed = capsys.readouterr().out
    assert "the result" in printed
    assert "epoch" not in printed


def test_table_gives_percentages_and_marks_the_leaking_protocol(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    print_table(RESULTS)
    printed = capsys.readouterr().out
    assert "91.2" in printed
    assert "99.9" in printed
    assert "90.0 – 92.0" in printed
    assert "labels leak" in printed
    assert "3.25" in printed


def test_the_f1_of_the_detectors_threshold_is_told_from_the_oracles(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    print_table({**RESULTS, "detector": {**RESULTS["detector"], "f1": 0.127, "precision": None, "recall": 0.6}})
    printed = capsys.readouterr().out
    rows = {line.split("│")[1].strip(): line.split("│")[2].strip() for line in printed.splitlines() if "│" in line}
    assert rows["F1 at the detector's threshold"] == "12.7"
    assert rows["oracle F1"] == "70.0"
    assert "precision at" not in printed
    assert "chosen by the test labels" in printed


NORMALS_ALONE = {
    **RESULTS,
    "gamma": 0.0,
    "detector": {
        "threshold": 3.25,
        "threshold_source": "0.99 quantile of normal validation images",
        "threshold_normals": 60,
        "expected_flagged_low": 0.004,
        "expected_flagged_high": 0.0894,
        "false_positive_rate": 0.25,
        "true_positive_rate": None,
    },
    "protocols": {
        "per_image": {
            **dict.fromkeys(FIGURES),
            "epoch": 7,
            "normal_images": 8,
            "normal_score_lowest": 1.5,
            "normal_score_median": 2.5,
            "normal_score_highest": 4.5,
        }
    },
}


def test_without_anomalies_the_table_says_so_and_what_is_known(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    print_table(NORMALS_ALONE)
    printed = capsys.readouterr().out
    assert "No anomalies in the test set: AUROC cannot be measured." in printed
    assert "2 of 8 held-out normal images." in printed
    assert "between 1.5 and 4.5, with the median 2.5" in printed
    assert "rests on 60 normal validation images: between 0.4 % and 8.9 % of normal images" in printed
    assert "synthetic" not in printed
    assert "artificial" not in printed


def test_auroc_against_synthetic_anomalies_goes_by_its_own_name(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    shares = (("auroc", 0.9), ("auroc_low", 0.8), ("auroc_high", 0.95))
    figures = {f"{kind}_{name}": share for name, share in shares for kind in ("synthetic", "local")}
    per_image = {**NORMALS_ALONE["protocols"]["per_image"], **figures}
    print_table({**NORMALS_ALONE, "protocols": {"per_image": per_image}})
    printed = capsys.readouterr().out
    assert "synthetic_auroc: against synthetic anomalies" in printed
    assert "local_auroc: against artificial flaws" in printed
    assert printed.count("80.0 – 95.0") == 2
    assert "AUROC cannot be measured" in printed


def test_the_uncertainty_that_a_warning_gives_is_not_said_twice(capsys):
    detector = {**NORMALS_ALONE["detector"], "threshold_normals": 3}
    uncertainty = threshold_uncertainty(detector)
    print_table({**NORMALS_ALONE, "detector": detector, "warnings": [f"{uncertainty} Add normal images."]})
    assert capsys.readouterr().out.count("with so few") == 1
