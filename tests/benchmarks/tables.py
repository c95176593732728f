"""Writes the tables of the READMEs from the CSV files in tests/benchmarks/results, and that of options from the code.

    python -m tests.benchmarks.tables            # after rows were added
    python -m tests.benchmarks.tables --check    # fails if a table differs from the CSV files

A table stands between `<!-- table: NAME -->` and `<!-- end -->`. All else in the documents is left as it is. To add a
table: a line in `TABLES`, and the two markers in a document.
"""

import argparse
import csv
import dataclasses
import re
import statistics
from collections.abc import Callable, Iterable, Sequence
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from absl import flags

from agad_tf.benchmark.published import published_auroc
from agad_tf.config.choices import EARLIER_NAMES
from agad_tf.config.fields import ExperimentFields
from agad_tf.config.flags import define_flags
from tests.benchmarks.recorded import RECORDED, TITLES, Row, as_recorded, distinct, made_by, markdown, where

ROOT = Path(__file__).parents[2]
DOCUMENTS = (ROOT / "README.md", ROOT / "flags" / "README.md", Path(__file__).with_name("README.md"))
RESULTS = Path(__file__).with_name("results")
BLOCK = re.compile(r"<!-- table: (.+?) -->\n(.*?)<!-- end -->", re.DOTALL)

NOT_RUN = "not run"
PROTOCOLS = ("family", "family_shuffled", "per_image")
HALF = " (half)"
DATASETS = {
    **{"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "cifar10": "CIFAR-10", "cifar100": "CIFAR-100"},
    **{"cifar100" + HALF: "CIFAR-100, half", "pneumoniamnist": "PneumoniaMNIST"},
}
PUBLISHED_OF_CHEST_X_RAYS = "72.6 (other chest X-rays, 128 px)"
GENERATORS = {"unet_plus_plus": "UNet++", "unet": "UNet", "encoder_decoder": "encoder-decoder"}
METHODS = {
    **{"supervised": "a classifier with all labels", "knn": "kNN", "auto_encoder": "PyOD's auto-encoder"},
    **{"isolation_forest": "isolation forest", "pca": "PCA", "one_class_svm": "one-class SVM"},
    "deep_svdd": "PyOD's Deep SVDD",
}
# Name of a set in own_images.csv: how the tables name it, and the AUROC that was the goal before it was measured.
OWN_SETS = {
    "dagm_class8": ("DAGM class 8: flaws 2 to 3 pixels wide on texture", "99"),
    "elpv_mono": ("solar cells", "93"),
    "apple_leaf": ("apple leaves", "75"),
    "pneumoniamnist": ("PneumoniaMNIST", "72"),
}


def main(arguments: list[str] | None = None) -> None:
    """Writes the documents, or says which tables differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a table differs")
    options = parser.parse_args(arguments)
    differ = []
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        new = with_tables(text)
        if new != text and options.check:
            pairs = zip(BLOCK.findall(text), BLOCK.findall(new), strict=True)
            differ += [f"{path.relative_to(ROOT)}: {old[0]}" for old, fresh in pairs if old != fresh]
        elif new != text:
            path.write_text(new, encoding="utf-8")
    if differ:
        raise SystemExit(f"Differ from the CSV files: {'; '.join(differ)}. Run python -m tests.benchmarks.tables.")


def with_tables(text: str) -> str:
    """A document with all of its tables written anew."""

    def block(match: re.Match) -> str:
        name = match[1]
        if name not in TABLES:
            raise SystemExit(f"No table is called '{name}'; choose one of {', '.join(TABLES)}.")
        return f"<!-- table: {name} -->\n{TABLES[name]()}<!-- end -->"

    return BLOCK.sub(block, text)


def read(name: str) -> list[Row]:
    """The rows of a file of results; the name of a data set says where half of its training images were used."""
    with (RESULTS / name).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    of_half = [row for row in rows if row.get("note", "").startswith("half of the training images")]
    for row in of_half:
        row["dataset"] += HALF
    return rows


# === Cells ===


def is_single(row: Row) -> bool:
    """Whether a row is of one normal class, not a mean over several."""
    return row["normal_class"].isdigit()


def mean_auroc(rows: Sequence[Row]) -> str:
    """Mean AUROC over rows, with the deviation over classes and seeds; "not run" of none."""
    if not rows:
        return NOT_RUN
    values = [float(row["auroc"]) for row in rows]
    deviation = rows[0]["deviation"] if len(rows) == 1 else ""
    if len(rows) > 1 and all(is_single(row) for row in rows):
        deviation = f"{statistics.stdev(values):.1f}"
    return f"{statistics.mean(values):.1f}" + (f" ± {deviation}" if deviation else "")


# === Tables of README.md ===


def recorded_runs() -> list[Row]:
    """Rows that belong to no experiment."""
    return where(read("measured.csv"), experiment="")


def published_setting() -> list[Row]:
    """Rows of the paper's recipe at full size and γ = 0, as `tests.benchmarks.record` appends them."""
    rows = where(recorded_runs(), method="agad", gamma="0.0", width="1.0", variant="")
    return [row for row in rows if row["dataset"] in DATASETS]


def headline() -> str:
    """The published figures of the UNets beside the three protocols, mean over the classes that were run."""
    rows = published_setting()
    asked = [(d, g) for d in ("fashion_mnist", "cifar10", "cifar100" + HALF) for g in ("unet_plus_plus", "unet")]
    lines = []
    for dataset, generator in dict.fromkeys([*asked, *distinct(rows, "dataset", "generator")]):
        of_pair = where(rows, dataset=dataset, generator=generator)
        for schedule, epochs in distinct(of_pair, "learning_rate_schedule", "epochs") or [("", "")]:
            found = where(of_pair, learning_rate_schedule=schedule, epochs=epochs)
            numbers = sorted({row["normal_class"] for row in found}, key=int)
            classes = ", ".join(numbers) if len(numbers) < 10 else f"all {len(numbers)}"
            figures = [class_mean(where(found, protocol=protocol)) for protocol in PROTOCOLS]
            settings = {"dataset": dataset.removesuffix(HALF), "generator": generator, "gamma": 0}
            published = PUBLISHED_OF_CHEST_X_RAYS if dataset == "pneumoniamnist" else published_auroc(settings)
            lines.append([DATASETS[dataset], GENERATORS[generator], schedule, epochs, classes, published, *figures])
    header = ["data set", "generator", "learning rate", "epochs", "classes run", "published"]
    return markdown([*header, *(TITLES.get(p, p) for p in PROTOCOLS)], lines)


def class_mean(rows: Sequence[Row]) -> str:
    """Mean over classes and seeds, without a deviation, as few classes are run."""
    if not rows:
        return NOT_RUN
    return str(statistics.mean(Decimal(row["auroc"]) for row in rows).quantize(Decimal("0.1"), ROUND_HALF_UP))


def own_images() -> str:
    """Own images, mean over seeds on the test part."""
    rows = where(read("own_images.csv"), part="test", ablation="none")
    # A later row is of later code.
    rows = list({(row["data"], row["size"], row["seed"]): row for row in rows}.values())
    lines = []
    for data, size in distinct(rows, "data", "size"):
        found = where(rows, data=data, size=size)
        name, goal = OWN_SETS.get(data, (data, ""))
        values = [float(row["auroc"]) for row in found]
        spread = f" ({min(values):.1f} to {max(values):.1f})" if len(values) > 1 else ""
        baselines = (average(row[name] for row in found) for name in ("knn", "pca"))
        whole = average(whole_alone(row) for row in found)
        lines.append([f"{name}, {size} px", f"**{average(values)}**{spread}", goal, *baselines, whole])
    header = ["set", "`own_images`", "goal", "nearest pixels (kNN)", "PCA", "whole image alone, no network"]
    return markdown(header, lines)


def own_images_by_seed() -> str:
    """Own images, a line for every row."""
    lines = []
    for row in read("own_images.csv"):
        names = ("auroc_local", "auroc_alike", "auroc_norm", "pixel_auroc", "training_seconds", "commit")
        figures = (row[name] for name in names)
        settings = (row[name] for name in ("data", "part", "ablation", "size", "seed"))
        lines.append([*settings, as_recorded({"metric": "", "deviation": "", **row}), whole_alone(row), *figures])
    header = ["set", "part", "ablation", "size", "seed", "AUROC", "whole image alone", "maps alone"]
    return markdown([*header, "all scales alike", "norm alone", "pixels", "seconds", "commit"], lines)


def whole_alone(row: Row) -> str:
    """AUROC of the comparison of whole images, one of the parts of the score; empty if there is none."""
    return dict(part.split("=") for part in row["parts"].split()).get("whole", "")


def average(values: Iterable[float | str]) -> str:
    known = [float(value) for value in values if value != ""]
    return f"{statistics.mean(known):.1f}" if known else ""


def flagfiles(in_short: bool = False) -> str:
    """The flagfiles beside baselines and goals, mean over ten classes; in short, the flagfiles alone."""
    rows = read("measured.csv")
    recipe = [row for row in where(rows, experiment="flagfiles", protocol="per_image") if is_single(row)]
    paper = where(rows, experiment="paper's recipe", protocol="per_image", normal_class="0-9")
    paper += where(naive_cifar100(), protocol="per_image")
    half, nearest = "cifar100" + HALF, "distance to the nearest pixels (kNN)"
    knn = where(rows, experiment="baselines", method="knn", normal_class="0-9")
    unseen = where(rows, experiment="one labelled kind", normal_class="0-9", variant="the eight others")
    no_network = where(rows, experiment="no network")
    few = "; with labelled anomalies "
    one_kind = "`flags/fmnist_best.cfg --min_anomalies=8`, one kind labelled; on the others (goal 95.5)"
    parts = (
        ("fashion_mnist", f"`flags/fmnist_best.cfg`{few}`flags/fmnist_few_anomalies.cfg`", recipe),
        ("fashion_mnist", "goal", ("95.0", "97.5", "98.5")),
        ("fashion_mnist", "the system of the paper, `flags/fmnist.cfg`", paper),
        ("fashion_mnist", nearest, knn),
        ("fashion_mnist", "no network: residuals of the mean training image", where(no_network, score="combined")),
        ("fashion_mnist", "… by the `mahalanobis` factor alone", where(no_network, score="mahalanobis")),
        ("fashion_mnist", one_kind, unseen),
        ("mnist", "`flags/mnist_best.cfg`", recipe),
        ("mnist", "goal", ("98.5", "", "")),
        ("mnist", "the system of the paper, `flags/mnist.cfg`", paper),
        ("cifar10", f"`flags/cifar10_best.cfg`{few}`flags/cifar10_few_anomalies.cfg`", recipe),
        ("cifar10", "goal", ("72", "", "85")),
        (half, "`flags/cifar100_best.cfg`", recipe),
        (half, "the system of the paper, `flags/cifar100.cfg --generator=encoder_decoder`", paper),
        (half, nearest, where(recorded_runs(), dataset=half, method="knn", protocol="per_image")),
    )
    lines = []
    for dataset, by, given in parts:
        if in_short and given is not recipe and given is not paper:
            continue
        cells = given if isinstance(given, tuple) else [gamma_cell(given, dataset, g) for g in ("0.0", "0.01", "0.05")]
        bold = given is recipe or given is unseen
        lines.append([DATASETS[dataset], by, *(f"**{cell}**" if bold and cell else cell for cell in cells)])
    return markdown(["AUROC in %", "by", "γ = 0: normal images alone", "γ = .01", "γ = .05"], lines)


def gamma_cell(rows: Sequence[Row], dataset: str, gamma: str) -> str:
    found = where(rows, dataset=dataset, gamma=gamma)
    seeds = {row["seed"] for row in found}
    return (mean_auroc(found) + (f" (seed {min(seeds)})" if len(seeds) == 1 else "")) if found else ""


def naive_cifar100() -> list[Row]:
    """CIFAR-100 by the paper's recipe and the naive network, a row for each class and protocol."""
    return where(recorded_runs(), dataset="cifar100" + HALF, generator="encoder_decoder", width="1.0", variant="")


def paper() -> str:
    """The paper's recipe by the naive network, seed 0."""
    rows = where(read("measured.csv"), experiment="paper's recipe", seed="0")
    rows = [row for row in rows if not is_single(row)] + [{**row, "normal_class": "0-19"} for row in naive_cifar100()]
    lines = []
    for dataset, classes, gamma in distinct(rows, "dataset", "normal_class", "gamma"):
        found = where(rows, dataset=dataset, normal_class=classes, gamma=gamma)
        figures = [mean_auroc(where(found, protocol=protocol)) for protocol in reversed(PROTOCOLS)]
        published = published_auroc(
            {"dataset": dataset.removesuffix(HALF), "generator": "encoder_decoder", "gamma": float(gamma)}
        )
        name = DATASETS[dataset] + ("" if classes in ("0-9", "0-19") else f", classes {classes}")
        lines.append([name, gamma, f"**{figures[0]}**", *figures[1:], published])
    return markdown(["data set", "γ", *(TITLES.get(p, p) for p in reversed(PROTOCOLS)), "published"], lines)


def baselines() -> str:
    """Fashion-MNIST by baselines, mean over the ten classes."""
    rows = where(read("measured.csv"), experiment="baselines", normal_class="0-9")
    ordered = sorted(rows, key=lambda row: -float(row["auroc"]))
    return markdown(["method", "AUROC per image"], [[METHODS[row["method"]], mean_auroc([row])] for row in ordered])


def options() -> str:
    """Every option of an experiment with its default, and the other flags of the command."""
    lines = []
    for field in dataclasses.fields(ExperimentFields):
        default = ",".join(map(str, field.default)) if isinstance(field.default, tuple) else str(field.default)
        choices = ", ".join(f"`{choice}`" for choice in field.metadata["choices"])
        text = field.metadata["help"].replace("|", "\\|")
        lines.append(
            [f"`--{field.name}`", f"`{default}`" if default else "", f"{text} One of {choices}." if choices else text]
        )
    flag_values = flags.FlagValues()
    define_flags(flag_values)
    for name in sorted(set(flag_values) - {field.name for field in dataclasses.fields(ExperimentFields)}):
        if name not in EARLIER_NAMES.values():
            lines.append([f"`--{name}`", "", " ".join(flag_values[name].help.split()).replace("|", "\\|")])
    return markdown(["option", "default", "meaning"], lines)


def by_class() -> str:
    """The rows of the headline, one by one."""
    rows = published_setting()
    return RECORDED["published setting"].of(rows) + made_by(rows)


def other_runs() -> str:
    """Rows that `tests.benchmarks.record` appended and that are not of the published setting; empty without any."""
    published = published_setting()
    rows = [row for row in recorded_runs() if row not in published]
    return RECORDED["other runs"].of(rows) + made_by(rows) if rows else ""


def in_turns(file: str, column: str, sides: Sequence[tuple[str, str]]) -> str:
    """Medians of two sides that `python -m tests.benchmarks` measured in turns, and their ratios.

    Args:
        file: of results.
        column: that tells the sides apart.
        sides: value of the column and heading of either side.
    """
    lines = []
    rows = read(file)
    names = ("generator", "image_size", "width", "batch_size", "precision")
    for setting in distinct(rows, *names):
        found = [where(rows, **dict(zip(names, setting, strict=True)), **{column: value}) for value, _ in sides]
        generator, size, width, batch, precision = setting
        cells = [GENERATORS[generator], f"{size} px", f"{float(width):g}", batch, precision]
        for figure in ("step_ms", "scored_per_second"):
            one, other = (statistics.median(float(row[figure]) for row in side) for side in found)
            cells += [f"{one:.0f}", f"{other:.0f}", f"**{one / other:.2f}**"]
        shares = [float(row["share"]) for row in found[0]]
        lines.append([*cells, f"{statistics.median(shares):.2f}", f"{float(found[0][0]['peak_mib']):.0f} MiB"])
    (one, other) = (name for _, name in sides)
    header = ["generator", "images", "width", "batch", "precision", f"step, {one}, ms", other, "ratio"]
    header += [f"scored a second, {one}", other, "ratio", "share of matrix product", "peak memory"]
    commits = ", ".join(dict.fromkeys(f"{row['commit']} {row['date']}" for row in rows))
    return markdown(header, lines) + f"\n- {file}: {rows[0]['machine']} ({commits})\n"


def recorded(experiment: str) -> str:
    """The rows of an experiment, and the commands that made them."""
    rows = where(read("measured.csv"), experiment=experiment)
    return RECORDED[experiment].of(rows) + made_by(rows)


def _of(experiment: str) -> Callable[[], str]:
    return lambda: recorded(experiment)


TABLES: dict[str, Callable[[], str]] = {
    **{name: _of(name) for name in RECORDED},
    **{"published setting": by_class, "other runs": other_runs},
    **{"headline": headline, "own images": own_images, "own images by seed": own_images_by_seed},
    **{"flagfiles in short": lambda: flagfiles(in_short=True), "options": options},
    "PyTorch in turns": lambda: in_turns("speed.csv", "framework", [("tensorflow", "ours"), ("torch", "PyTorch")]),
    "convolutions in turns": lambda: in_turns(
        "convolutions.csv", "convolutions", [("restated", "restated"), ("plain", "plain")]
    ),
    **{"flagfiles by mean": flagfiles, "paper": paper, "baselines by mean": baselines},
}


if __name__ == "__main__":
    main()
