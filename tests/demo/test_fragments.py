import re

import pandas as pd

from agad_tf.demo.findings import Finding
from agad_tf.demo.fragments import NO_VALIDATION, WIDTH, cards, summary

SCRIPT = "<script>alert(1)</script>"
FINDINGS = [
    Finding("in/low.png", "", 1.0, 0.1, "/tmp/a b.png", "/tmp/map.png"),
    Finding("in/none.txt", "none.txt cannot be read."),
    Finding("in/high.png", "", 3.0, 0.9, "/tmp/c.png", "/tmp/d.png"),
]
VALIDATION = pd.DataFrame(
    {"image_id": ["a", "b", "c", SCRIPT], "label": [0, 0, 0, 1], "anomaly_score": [0.5, 1.5, 2.0, 2.5]}
)


def told(validation, findings, threshold):
    return re.sub(r"<[^>]+>", " ", re.sub(r"<title>.*?</title>", "", summary(validation, findings, threshold, 0, 4)))


def test_cards_come_by_score_and_complaints_last():
    page = cards(FINDINGS, 3.0)
    assert re.findall(r"<h3>(.*?)</h3>", page) == ["high.png", "low.png", "none.txt"]
    assert re.findall(r'class="card (\w+)"', page) == ["flagged", "passed", "complaint"]
    assert "none.txt cannot be read." in page
    assert "/gradio_api/file=/tmp/a%20b.png" in page


def test_names_and_complaints_run_nothing():
    bad = [Finding(SCRIPT.replace("/", ""), SCRIPT), Finding(SCRIPT.replace("/", ""), "", 1.0, 0.5, "a", "b")]
    assert "<script" not in cards(bad, 2.0) + summary(VALIDATION, bad, 0.0, 0, 4)


def test_the_summary_counts_what_a_threshold_flags_at_or_above_it():
    text = told(VALIDATION, FINDINGS, 2.0)
    assert re.search(r"1 of 3\s+normal validation images \(33\.3 %\)", text)
    assert re.search(r"1 of 1\s+abnormal validation images \(100\.0 %\)", text)
    assert re.search(r"1 of 2\s+dropped images \(50\.0 %\)", text)
    assert re.findall(r"<tr><td>(.*?)</td>", summary(VALIDATION, FINDINGS, 2.0, 0, 4))[1] == "c"


def test_what_is_not_there_is_not_counted():
    assert "abnormal" not in told(VALIDATION[VALIDATION["label"] == 0], [], 2.0)
    assert "dropped" not in told(VALIDATION, FINDINGS[1:2], 2.0)
    assert NO_VALIDATION in told(VALIDATION.head(0), FINDINGS, 2.0)
    assert "threshold" not in told(VALIDATION.head(0), [], 2.0)


def test_scores_outside_of_the_chart_are_drawn_at_its_edge():
    far = [Finding("far.png", "", 1e6, 1.0, "a", "b")]
    places = [float(x) for x in re.findall(r'<rect x="([\d.]+)"', summary(VALIDATION.head(0), far, 2.0, 0, 4))]
    assert len(places) == 1
    assert 0.95 * WIDTH < places[0] < WIDTH
