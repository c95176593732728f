"""The rooms of the package and the arrows between them: `python -m tests.architecture` prints both.

A room is a sub-package. Each may import from the rooms above it in `ROOMS`, and nothing private of another room.
"""

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PACKAGE = "agad_tf"
# From the top down, in the order of the data's way; the commands come last.
ROOMS = (
    *("config", "files", "networks", "data", "models", "evaluation", "reporting", "serving", "training"),
    *("prediction", "benchmark", "audit", "estimator", "main", "beam"),
)
# The package itself names what is public, and loads it on first use.
FRONT = "__init__"


class Arrow(NamedTuple):
    """One import of a name by a module from another module of the package."""

    importer: str
    imported: str
    name: str


def modules(package: Path = ROOT / PACKAGE) -> dict[str, Path]:
    """The modules of the package by their dotted names, without the package's own."""
    names = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        names[".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)] = path
    return names


def arrows(paths: dict[str, Path]) -> Iterator[Arrow]:
    """Every import between modules, those for type checkers and inside functions included."""
    for importer, path in paths.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == PACKAGE:
                module = node.module.partition(".")[2]
                for alias in node.names:
                    inner = f"{module}.{alias.name}" if module else alias.name
                    yield Arrow(importer, inner if inner in paths else module or FRONT, alias.name)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name.startswith(f"{PACKAGE}."):
                        yield Arrow(importer, alias.name.partition(".")[2], "")


def room_of(module: str) -> str:
    """The sub-package of a module, or the module itself where it lies in none."""
    return module.partition(".")[0]


def upward(found: list[Arrow]) -> list[Arrow]:
    """Imports from rooms further down."""
    place = {room: number for number, room in enumerate(ROOMS)}
    return [
        arrow
        for arrow in found
        if FRONT not in (arrow.importer, arrow.imported)
        and place[room_of(arrow.imported)] > place[room_of(arrow.importer)]
    ]


def private(found: list[Arrow]) -> list[Arrow]:
    """Imports of names with an underscore, or from modules with one, across rooms."""
    return [
        arrow
        for arrow in found
        if room_of(arrow.importer) != room_of(arrow.imported)
        and any(part.startswith("_") and not part.startswith("__") for part in (*arrow.imported.split("."), arrow.name))
    ]


def levels(found: list[Arrow], paths: dict[str, Path]) -> dict[str, int]:
    """For each module how many imports deep it stands.

    Raises:
        graphlib.CycleError: modules import each other.
    """
    imports = {module: set[str]() for module in paths}
    for arrow in found:
        # A room's own __init__ is where its modules are, and no further step.
        if arrow.importer != FRONT and arrow.imported in imports and arrow.imported != arrow.importer:
            imports[arrow.importer].add(arrow.imported)
    depth: dict[str, int] = {}
    for module in graphlib.TopologicalSorter(imports).static_order():
        depth[module] = 1 + max((depth[other] for other in imports[module]), default=0)
    return depth


def lines_of(path: Path) -> int:
    """How many lines a file has."""
    return len(path.read_text(encoding="utf-8").splitlines())


def main() -> None:
    """Prints the rooms, and every arrow that should not be there."""
    paths = modules()
    found = list(arrows(paths))
    depth = levels(found, paths)
    for room in ROOMS:
        inside = [module for module in paths if room_of(module) == room]
        below = sorted({room_of(arrow.imported) for arrow in found if arrow.importer in inside} - {room, FRONT})
        print(f"{room:<11} {sum(lines_of(paths[module]) for module in inside):>5} lines   imports {', '.join(below)}")
        for module in inside:
            print(f"  {module:<36} {lines_of(paths[module]):>4} lines, level {depth[module]}")
    print(
        f"{len(paths)} modules in {len(ROOMS)} rooms, {max(depth.values())} levels, circles 0, "
        f"upward arrows {len(upward(found))}, private names across rooms {len(private(found))}"
    )
    for arrow in (*upward(found), *private(found)):
        print(f"  {arrow.importer} -> {arrow.imported}: {arrow.name}")


if __name__ == "__main__":
    main()
