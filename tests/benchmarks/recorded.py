"""Tables of rows as they were recorded, for tests/benchmarks/README.md: one for each experiment of measured.csv."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

Row = Mapping[str, str]
TITLES = {
    **{"normal_class": "normal class", "gamma": "γ", "learning_rate_schedule": "learning rate", "variant": "setting"},
    **{"family_shuffled": "family, shuffled", "per_image": "per image", "dataset": "data set"},
}
COLUMN_TITLES = {"gamma": "γ = {}", "normal_class": "class {}", "epoch": "epoch {}"}
# A mean over classes has no number as its class.
MEAN_TITLE = "classes {}"
# What a note says of a change that was tried.
KEPT = re.compile(r"kept: (.*?)(?:; |$)")


def where(rows: Iterable[Row], **wanted: str) -> list[Row]:
    """The rows that have these values."""
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def distinct(rows: Iterable[Row], *names: str) -> list[tuple[str, ...]]:
    """The combinations of values, in the order in which they first come."""
    return list(dict.fromkeys(tuple(row[name] for name in names) for row in rows))


def markdown(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    all_lines = [header, ["---"] * len(header), *lines]
    return "".join(f"| {' | '.join(line)} |\n".replace("|  |", "| |").replace("|  |", "| |") for line in all_lines)


def as_recorded(row: Row) -> str:
    """What a row says: a value with its unit, or an AUROC with its interval or deviation."""
    if row["metric"]:
        return f"{row['value']} {row['unit']}".strip()
    spread = f" ± {row['deviation']}" if row["deviation"] else ""
    interval = f" ({row['auroc_low']}–{row['auroc_high']})" if row["auroc_low"] else ""
    return f"{row['auroc']}{spread}{interval}"


class Recorded(NamedTuple):
    """How a table of rows is laid out: the columns of the CSV file that name its lines, and those that name its own."""

    index: tuple[str, ...]
    columns: tuple[str, ...] = ("normal_class",)

    def of(self, rows: Sequence[Row]) -> str:
        heads = distinct(rows, *self.columns)
        cells: dict[tuple[str, ...], dict[tuple[str, ...], str]] = {}
        for row in rows:
            line = cells.setdefault(tuple(row[name] for name in self.index), {})
            line[tuple(row[name] for name in self.columns)] = as_recorded(row)
        kept = {
            tuple(row[name] for name in self.index): found[1] for row in rows if (found := KEPT.search(row["note"]))
        }
        header = [TITLES.get(name, name) for name in self.index] + [self.head(head) for head in heads]
        lines = [[*index, *(line.get(head, "") for head in heads)] for index, line in cells.items()]
        if kept:
            header.append("kept")
            lines = [[*line, kept.get(index, "")] for index, line in zip(cells, lines, strict=True)]
        return markdown(header, lines)

    def head(self, values: tuple[str, ...]) -> str:
        named = [
            (COLUMN_TITLES.get(name, "{}") if value.isdigit() or name != "normal_class" else MEAN_TITLE).format(value)
            for name, value in zip(self.columns, values, strict=True)
            if value
        ]
        return ", ".join(TITLES.get(name, name) for name in named)


def made_by(rows: Iterable[Row]) -> str:
    """The commands behind rows, each with its commits and days, as a list."""
    commands: dict[str, dict[str, None]] = {}
    for row in rows:
        state = " ".join(filter(None, (row["commit"], row["date"])))
        commands.setdefault(row["command"], {})[state] = None
    lines = []
    for command, states in commands.items():
        known = "; ".join(filter(None, states))
        lines.append(
            (f"- `{command}`" if command else "- command not recorded") + (f" ({known})" if known else "") + "\n"
        )
    return "\n" + "".join(lines)


# How the rows of an experiment are laid out.
RECORDED = {
    "published setting": Recorded(
        ("dataset", "generator", "learning_rate_schedule", "epochs", "normal_class", "seed"), ("protocol",)
    ),
    "other runs": Recorded(
        (
            *("commit", "dataset", "normal_class", "gamma", "method", "generator", "width", "variant", "epochs"),
            *("learning_rate_schedule", "seed"),
        ),
        ("protocol",),
    ),
    "first runs of the paper's recipe": Recorded(
        ("gamma", "variant", "learning_rate_schedule", "seed"), ("protocol", "metric")
    ),
    "paper's recipe by precision": Recorded(("gamma", "precision"), ("protocol", "metric")),
    "paper's recipe": Recorded(("dataset", "gamma", "seed", "protocol")),
    "baselines": Recorded(("method",)),
    "flagfiles": Recorded(("dataset", "gamma", "seed", "protocol")),
    "earlier flagfiles": Recorded(("variant", "dataset", "gamma", "seed")),
    "steadiness": Recorded(("gamma", "normal_class", "variant"), ("epoch", "metric")),
    "one labelled kind": Recorded(("normal_class",), ("variant",)),
    "one labelled kind, earlier": Recorded(("normal_class",), ("variant",)),
    "one labelled kind, paper's recipe": Recorded(("normal_class",), ("variant", "protocol")),
    "ablations": Recorded(("gamma", "variant", "protocol")),
    "labelled anomalies": Recorded(("gamma", "protocol")),
    "anomaly distance": Recorded(("variant", "protocol")),
    "ancestors": Recorded(("method", "protocol")),
    "generators at width .25": Recorded(("generator", "protocol")),
    "own images by flagfile": Recorded(("dataset", "normal_class"), ("protocol",)),
    "no network": Recorded(("dataset",), ("score",)),
    "probe 1": Recorded(("variant",), ("dataset", "score")),
    "probe 1: scores": Recorded(("score",), ("variant",)),
    "probe 1: synthetic anomalies": Recorded(("dataset", "normal_class", "score"), ("variant",)),
    "probe 1: labelled anomalies": Recorded(("variant",), ("score",)),
    "probe 3": Recorded(("variant",), ("gamma", "normal_class", "score", "metric")),
    "probe 3: length on MNIST": Recorded(("variant",), ("score",)),
    "probe 4": Recorded(("variant",), ("gamma", "normal_class")),
    "probe 4: other sets": Recorded(("dataset", "normal_class", "variant"), ("score",)),
    "probe 5": Recorded(("gamma", "normal_class", "variant"), ("score",)),
    "probe 5: Fashion-MNIST": Recorded(("gamma", "normal_class", "variant"), ("score",)),
    "probe 6": Recorded(("variant",), ("gamma", "normal_class", "score")),
    "probe 6: MNIST": Recorded(("variant",), ("normal_class", "score")),
    "probe 7": Recorded(("gamma", "variant"), ("score",)),
    "probe 8": Recorded(("variant", "seed"), ("score",)),
    "probe 7: seven classes": Recorded(("variant",), ("score",)),
    "probe 7: one labelled kind": Recorded(("variant",), ("score",)),
    "against PyTorch": Recorded(("variant",), ("metric",)),
    "step grid": Recorded(("generator", "precision", "variant"), ("metric",)),
    "times around the step": Recorded(("variant",), ("metric",)),
    "where the time of a step goes": Recorded(("variant",), ("metric",)),
    "layers restated": Recorded(("variant",), ("metric",)),
    "floating-point work": Recorded(("generator",), ("metric",)),
    "XLA on the CPU": Recorded(("variant",), ("metric",)),
    "scaling model": Recorded(("generator",), ("metric",)),
    "replicas on digits": Recorded(("epochs", "variant"), ("metric",)),
    "engines of Beam": Recorded(("variant",), ("metric",)),
    "predicting from files": Recorded(("variant",), ("metric",)),
    "one large image": Recorded(("variant",), ("metric",)),
    "hours": Recorded(("variant",), ("metric",)),
    "fuzzing": Recorded(("variant",), ("metric",)),
}
