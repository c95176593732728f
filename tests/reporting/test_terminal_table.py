from agad_tf.reporting.terminal_table import print_table

FIGURES = {
    "auroc": 0.9123,
    "auroc_low": 0.9,
    "auroc_high": 0.92,
    "average_precision": 0.8,
    "fpr_at_95_tpr": 0.3,
    "f1": 0.7,
    "threshold": 3.0,
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
