import base64
import io
import re
import shutil
from html.parser import HTMLParser

import matplotlib as mpl
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy import ndimage

from agad_tf.config.experiment import DEFAULTS, ExperimentConfig
from agad_tf.data.sources import Source
from agad_tf.evaluation import metrics
from agad_tf.evaluation.measurement import measure_baseline
from agad_tf.evaluation.results import results_of, write_scores
from agad_tf.files.workdir import Workdir
from agad_tf.reporting.event_files import event_file, read_curves
from agad_tf.reporting.plots import tukey_boxes
from agad_tf.reporting.report import write_report

FIGURES = ("auroc", "auroc_low", "auroc_high", "average_precision", "fpr_at_95_tpr", "oracle_f1", "oracle_threshold")


class Page(HTMLParser):
    """What of a page the tests look at.

    Attributes:
        tags: every element, by name and attributes.
        rows: the texts of each table row's cells.
        text: all of it that a reader sees.
    """

    def __init__(self, html):
        super().__init__()
        self.tags, self.rows, self.text = [], [], ""
        self.within = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "br" and self.within:
            self.rows[-1][-1] += "\n"
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        if tag in ("td", "th", "style"):
            self.within.append(tag)

    def handle_endtag(self, tag):
        if tag in self.within:
            self.within.remove(tag)

    def handle_data(self, data):
        if "style" in self.within:
            return
        self.text += data
        if self.within:
            self.rows[-1][-1] += data

    def row(self, title):
        """The cells beside the one that begins so."""
        (cells,) = [cells for cells in self.rows if cells[0].strip() == title]
        return [cell.strip() for cell in cells[1:]]


@pytest.fixture
def config(tmp_path):
    return ExperimentConfig(dataset="digits", image_size=16, gamma=0.1, epochs=2, workdir=str(tmp_path))


@pytest.fixture
def source(task):
    """The task's test set: six images of class 0, which is normal, and two each of classes 1, 2 and 3."""
    images, classes = task.test.images, np.repeat([0, 1, 2, 3], [6, 2, 2, 2])
    return Source("digits", images, classes, images, classes, "nowhere")


@pytest.fixture
def measure(config, source, task, monkeypatch):
    """A function from test scores to results; validation scores rise from 0 to 1, those of anomalies from 0.6."""

    # The width of intervals is not looked at here.
    monkeypatch.setattr(metrics, "BOOTSTRAP_RESAMPLES", 20)

    def results(scores):
        validation_scores = np.linspace(0, 1, len(task.validation.labels))
        options = {"threshold": config.threshold, "anomaly_classes": config.anomaly_classes, "seed": config.seed}
        measured = measure_baseline(source, task, validation_scores, np.asarray(scores), **options)
        write_scores(Workdir(config.folder).scores, task.test, measured.test_scores)
        return results_of(config.settings_read(), source, measured, 1.0)

    return results


@pytest.fixture
def run(config, source, task, measure, build_model):
    """A function that writes the report of a model that is not trained, but has all that a run leaves."""
    workdir = Workdir(config.folder)
    for epoch in (1, 2):
        with event_file(workdir.tensorboard, "epoch", epoch):
            tf.summary.scalar("generator_loss", 1 / epoch)
    results = measure(np.linspace(0, 1, 12))
    # No two figures are equal, so that none can stand in the place of another.
    for place, (name, leaks) in enumerate((("per_image", False), ("family_shuffled", False), ("family", True))):
        figures = {key: 0.9 - 0.1 * number - 0.01 * place for number, key in enumerate(FIGURES)}
        results["protocols"][name] = {**figures, "epoch": 2 + place, "labels_leak": leaks}
    results["protocols"]["family"]["last_epoch_auroc"] = 0.314
    model = build_model(compiled=False)

    def write(source=source):
        write_report(workdir, source, task, results, config.options(), model)
        return workdir.report.read_text()

    write.results = results
    return write


@pytest.fixture
def baseline(config, source, task, measure):
    """A function that writes the report of given test scores, and reads it."""

    def write(scores):
        write_report(Workdir(config.folder), source, task, measure(scores), config.options())
        return Workdir(config.folder).report.read_text()

    return write


def test_the_page_needs_nothing_else(run):
    page = Page(run())
    addresses = [
        address
        for _, attributes in page.tags
        for name, address in attributes.items()
        if name in ("src", "href", "xlink:href", "srcset", "data")
    ]
    assert len(addresses) > 20
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert {"script", "link", "iframe", "object"}.isdisjoint(tag for tag, _ in page.tags)
    assert set(re.findall(r"url\((.)", run())) <= {"#"}


def test_every_picture_and_plot_is_described(run):
    page = Page(run())
    described = [attributes.get("alt") for tag, attributes in page.tags if tag == "img"]
    described += [attributes.get("aria-label") for tag, attributes in page.tags if tag == "svg"]
    assert len(described) > 40
    assert all(described)


def test_no_name_is_given_twice(run):
    names = [attributes["id"] for _, attributes in Page(run()).tags if "id" in attributes]
    assert names
    assert len(names) == len(set(names))


def test_every_figure_of_every_protocol_is_there(run):
    page, protocols = Page(run()), run.results["protocols"]
    for title, key in (
        ("AUROC", "auroc"),
        ("95 % interval, from", "auroc_low"),
        ("to", "auroc_high"),
        ("average precision", "average_precision"),
        ("false positive rate at 95 % recall", "fpr_at_95_tpr"),
        ("oracle F1", "oracle_f1"),
    ):
        assert page.row(title) == [f"{100 * figures[key]:.1f}" for figures in protocols.values()]
    thresholds = [f"{figures['oracle_threshold']:.4g}" for figures in protocols.values()]
    assert page.row("threshold of the oracle F1 (a score, not %)") == thresholds
    assert page.row("epoch") == [str(figures["epoch"]) for figures in protocols.values()]
    assert page.row("AUROC of the last epoch")[2] == "31.4"


def test_only_the_protocol_per_image_is_called_a_result(run):
    marks = [" ".join(cell.split()) for cell in Page(run()).row("in %")]
    assert marks == [
        "per_image the result",
        "family_shuffled not a result: depends on the batch",
        "family not a result: labels leak",
    ]


def test_the_verdict_says_how_good_the_detector_is_and_by_which_threshold(baseline):
    # The threshold is the lowest score of a validation anomaly, 0.6.
    text = " ".join(Page(baseline([0, 0.1, 0.2, 0.3, 0.9, 0.2, 0.8, 0.7, 0.9, 1, 0.5, 0.4])).text.split())
    assert "higher score in 87.5 % of all pairs" in text
    assert "finds 66.7 % of the anomalies, and wrongly flags 16.7 % of the normal images" in text
    assert "4 of 6 abnormal test images" in text
    assert "1 of 6 normal test images" in text
    assert "flags scores of at least 0.6 (best F1 on validation images)" in text
    assert "only the oracle F1 is chosen on the test set" in text
    assert "chosen on 11 validation images (6 normal, 5 abnormal)" in text


def test_the_figures_at_the_detectors_threshold_are_there(baseline):
    page = Page(baseline([0, 0.1, 0.2, 0.3, 0.9, 0.2, 0.8, 0.7, 0.9, 1, 0.5, 0.4]))
    assert page.row("abnormal") == ["4", "2"]
    assert page.row("normal") == ["1", "5"]
    shares = {"F1": "72.7", "precision": "80.0", "recall": "66.7", "false positive rate": "16.7"}
    for title, share in shares.items():
        assert page.row(f"{title} at the detector's threshold") == [f"{share}\xa0%"]


def test_the_strongest_errors_are_listed_with_the_worst_first(baseline):
    page = Page(baseline([0, 0.1, 0.7, 0.3, 0.9, 0.2, 0.8, 0.75, 0.9, 1, 0.5, 0.4]))
    examples = [re.search(r"no\. (\d+)\n([\d.]+)\s*(flagged)?", cells[0]) for cells in page.rows if "no. " in cells[0]]
    found = [(int(match[1]), float(match[2]), bool(match[3])) for match in examples]
    assert found[:6] == [
        (4, 0.9, True),
        (2, 0.7, True),
        (3, 0.3, False),
        (5, 0.2, False),
        (1, 0.1, False),
        (0, 0.0, False),
    ]
    assert found[6:12] == [
        (11, 0.4, False),
        (10, 0.5, False),
        (7, 0.75, True),
        (6, 0.8, True),
        (8, 0.9, True),
        (9, 1.0, True),
    ]


def test_whiskers_end_at_the_outermost_scores_within_tukeys_fences():
    # Quartiles 2.25 and 6.75: the fences are at -4.5 and 13.5.
    scores = np.array([-4.6, 0, 2, 3, 4, 5, 6, 7, 13.4, 13.6])
    box, _ = tukey_boxes([scores, scores[::-1] + 1])
    assert (box["q1"], box["med"], box["q3"]) == (2.25, 4.5, 6.75)
    assert (box["whislo"], box["whishi"]) == (0, 13.4)
    np.testing.assert_array_equal(box["fliers"], [-4.6, 13.6])


def test_classes_of_equal_size_have_a_box_each():
    boxes = tukey_boxes([np.arange(3.0), np.arange(3.0) + 10])
    assert [box["med"] for box in boxes] == [1, 11]


def test_images_are_shown_beside_what_the_model_makes_of_them(run, baseline):
    def shown(html):
        return [attributes["alt"].split(" test image ")[0] for tag, attributes in Page(html).tags if tag == "img"]

    faces = ("input", "reconstruction", "reconstruction of the reconstruction", "error map")
    kinds = ("class 0", "class 1", "class 2", "class 3")
    scale = {"Colours of the error maps, from 0 to the largest error."}
    assert set(shown(run())) == {f"{face} of {kind}" for face in faces for kind in kinds} | scale
    assert set(shown(baseline(np.linspace(0, 1, 12)))) == {f"input of {kind}" for kind in kinds}


def test_pictures_hold_the_pixels_and_error_maps_share_a_scale(run, task, build_model):
    def pixels(face, number):
        (address, *_) = [
            attributes["src"]
            for tag, attributes in page.tags
            if tag == "img" and re.fullmatch(f"{face} of class . test image {number}", attributes["alt"])
        ]
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))))

    # A dull image, whose errors are small.
    task.test.images[0] = 96 + task.test.images[0] // 4
    page = Page(run())
    inputs = task.test.images / 127.5 - 1
    reconstruction = build_model(compiled=False)(inputs.astype(np.float32), training=False).numpy()
    errors = np.abs(inputs - reconstruction)[..., 0] / 2
    error = ndimage.gaussian_filter(errors, (0, 16 / 64, 16 / 64))
    assert f"{100 * error.max():.1f}" in page.text
    for number in (0, 7):
        np.testing.assert_array_equal(pixels("input", number), task.test.images[number, ..., 0])
        expected = (reconstruction[number, ..., 0] + 1) * 127.5
        np.testing.assert_allclose(pixels("reconstruction", number), expected, atol=0.51)
        colors = mpl.colormaps["magma"](error[number] / error.max(), bytes=True)[..., :3]
        # Rounding may choose the neighbouring one of 256 colours.
        np.testing.assert_allclose(pixels("error map", number), colors, atol=6)


def test_names_of_classes_are_text_whatever_is_in_them(run, source):
    names = ("<script>alert(1)</script>", "a & b", "$\\frac$", '"')
    html = run(Source(**{**vars(source), "class_names": names}))
    page = Page(html)
    assert "script" not in [tag for tag, _ in page.tags]
    for name in names:
        # In the table of classes, in the captions of images, and on the axis of the box plots.
        assert page.text.count(name) >= 3


def test_equal_runs_have_equal_pages(run):
    assert run() == run()


def test_a_baseline_has_a_page_without_training_and_reconstructions(baseline):
    text = Page(baseline(np.linspace(0, 1, 12))).text
    assert "Strongest false positives" in text
    assert "Generator loss" not in text
    # The option --protocols, among all options of the page, names it.
    assert "family" not in text.replace(str(DEFAULTS["protocols"]), "")
    assert "G(x)" not in text


@pytest.mark.parametrize("left", ["nothing", "half"])
def test_event_files_that_are_lost_or_cut_short_cost_their_curves_alone(run, tmp_path, left):
    assert "Generator loss" in run()
    if left == "half":
        for path in (tmp_path / "tensorboard").iterdir():
            path.write_bytes(path.read_bytes()[:40])
    else:
        shutil.rmtree(tmp_path / "tensorboard")
    html = run()
    assert "Generator loss" not in html
    assert "Precision and recall" in html


def test_curves_are_those_of_the_epochs_in_their_order(tmp_path):
    for epoch in (1, 2, 10):
        with event_file(tmp_path, "epoch", epoch):
            # The last epoch as earlier versions wrote it.
            tf.summary.scalar("generator_loss" if epoch == 10 else "losses/generator_loss", epoch / 4)
            tf.summary.scalar("learning_rate/generator_optimizer", 1.0)
            tf.summary.scalar("training/generator_learning_rate", 1.0)
            tf.summary.histogram("scores", [1.0, 2.0])
    with event_file(tmp_path, "test", 10):
        tf.summary.scalar("test_loss", 7.0)
    curves = read_curves(tmp_path)
    assert curves == {"generator_loss": {1: 0.25, 2: 0.5, 10: 2.5}}
    assert list(curves["generator_loss"]) == [1, 2, 10]


def test_of_an_event_file_that_is_cut_short_the_rest_is_read_and_all_later_ones(tmp_path):
    for epoch in (1, 2):
        with event_file(tmp_path, "epoch", epoch):
            tf.summary.scalar("first", epoch / 4)
            tf.summary.scalar("second", epoch / 4)
    cut = min(tmp_path.iterdir())
    cut.write_bytes(cut.read_bytes()[:-3])
    assert read_curves(tmp_path) == {"first": {1: 0.25, 2: 0.5}, "second": {2: 0.5}}


@pytest.fixture
def normals_alone(config, source, task, measure, build_model, monkeypatch):
    """A function that writes and reads the report of a run whose images are all normal."""
    for name in ("train", "validation", "test"):
        split = getattr(task, name)
        object.__setattr__(task, name, split.of_label(0))
    images = task.test.images
    source = Source("folder", images, np.zeros(6, int), images, np.zeros(6, int), "nowhere", class_names=("good",))

    def write(with_model=True, **figures):
        results = measure(np.array([0, 0.25, 0.5, 0.75, 1, 1.25]))
        results["protocols"]["per_image"] |= {"epoch": 2, **figures}
        model = build_model(compiled=False) if with_model else None
        write_report(Workdir(config.folder), source, task, results, config.options(), model)
        return Page(Workdir(config.folder).report.read_text())

    return write


def test_without_anomalies_the_page_says_so_and_shows_what_normal_images_score(normals_alone):
    page = normals_alone()
    text = " ".join(page.text.split())
    assert "No anomalies in the test set: AUROC cannot be measured." in text
    assert "wrongly flags 33.3 % of the 6 normal images that were held out" in text
    assert "2 of 6 held-out normal images" in text
    assert "rests on 6 normal validation images; with so few, between 0.4 % and 64.1 % of normal" in text
    assert "synthetic" not in text.replace("--synthetic", "")
    plots = [attributes["aria-label"] for tag, attributes in page.tags if tag == "svg"]
    assert plots[0] == "Histograms of the scores of normal test images."
    assert not any("ROC" in plot or "recall" in plot for plot in plots)
    for absent in ("Strongest false negatives", "Abnormal images", "Protocols"):
        assert absent not in text
    faces = {attributes["alt"].partition(" of good")[0] for tag, attributes in page.tags if tag == "img"}
    assert faces >= {"input", "reconstruction", "error map"}


def test_without_anomalies_the_page_names_the_auroc_of_synthetic_ones_as_such(normals_alone):
    figures = {"synthetic_auroc": 0.876, "synthetic_auroc_low": 0.8, "synthetic_auroc_high": 0.9}
    text = " ".join(normals_alone(**figures).text.split())
    assert "AUROC against synthetic anomalies87.6 %" in text
    assert "(synthetic_auroc). Real anomalies may be harder to find." in text
    assert "with a small artificial flaw" not in text
    assert "AUROC cannot be measured" in text


def test_a_baseline_without_anomalies_has_a_page(normals_alone):
    assert "AUROC cannot be measured" in normals_alone(with_model=False).text


@pytest.fixture
def own_set(run, source, task, tmp_path):
    """A function that writes and reads the report of a set of the user's own; one anomaly has a mask."""
    Image.fromarray(np.eye(16, dtype=np.uint8)).save(tmp_path / "mask.png")
    masks = {int(task.test.ids[11]): (tmp_path / "mask.png",)}

    def write(**changes):
        run.results["dataset"] = "folder"
        run.results["detector"]["threshold"] = 0.6
        return Page(run(Source(**{**vars(source), "name": "folder", "test_masks": masks, **changes})))

    return write


def large(page):
    """Descriptions of the enlarged images."""
    return [attributes["alt"] for tag, attributes in page.tags if tag == "img" and "enlarged" in attributes["alt"]]


def test_of_sets_of_the_users_own_some_images_are_shown_in_large(run, own_set):
    assert large(Page(run())) == []
    page = own_set()
    text = " ".join(page.text.split())
    assert "Selected images, enlarged" in text
    assert large(page)[:4] == [
        f"{name} of class 3 test image 11, enlarged" for name in ("image", "restored", "error map", "ground truth")
    ]
    assert "Found anomaly, class 3 no. 11, score 1.000 flagged" in text
    assert "There is no mask for this image." in text
    assert "A normal image: there is nothing to find." in text
    # The scale is said once, and holds for all error maps.
    assert text.count("In all error maps of this page") == 1


def test_without_masks_nothing_is_said_of_them(own_set):
    page = own_set(test_masks={})
    assert not any("ground truth" in alt for alt in large(page))
    assert "no mask" not in page.text
    assert "nothing to find" not in page.text


def test_good_images_alone_name_made_flaws_as_such_and_are_shown_in_large(normals_alone):
    figures = {"local_auroc": 0.765, "local_auroc_low": 0.7, "local_auroc_high": 0.8}
    page = normals_alone(**figures)
    text = " ".join(page.text.split())
    assert "AUROC against artificial flaws76.5 %" in text
    assert "(local_auroc). It does not measure how well real anomalies are found." in text
