"""The rooms of the package and the arrows between them: `python -m tests.architecture` prints both.

A room is a sub-package. Each may import from the rooms above it in `ROOMS`, and nothing private of another room.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PACKAGE = "agad_tf"
# From the top down, in the order of the data's way; the commands come last.
ROOMS = (
    *("config", "files", "networks", "data", "models", "evaluation", "reporting", "serving", "training"),
    *("prediction", "demo", "benchmark", "audit", "estimator", "main", "beam"),
)
# The package itself names what is public, and loads it on first use.
FRONT = "__init__"


class Arrow(NamedTuple):
    """One import of a name by a module from another module of the package."""

    importer: str
    imported: str
    name: str


def modules(package: Path = ROOT / PACKAGE) -> dict[str, Path]:
    """The modules of the package by their dotted names; the package's own is `FRONT`."""
    names = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        names[".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)] = path
    return names


def rooms_on_disk(paths: Mapping[str, Path]) -> set[str]:
    """The rooms that the modules lie in, a module in none being a room of its own."""
    return {room_of(module) for module in paths} - {FRONT}


def arrows(paths: Mapping[str, Path]) -> Iterator[Arrow]:
    """Every import between modules, those for type checkers and inside functions included.

    A relative import counts as well, and an import of the package itself as one of `FRONT`.
    """
    for importer, path in paths.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                source = _source_of(node, importer, path)
                if source.partition(".")[0] != PACKAGE:
                    continue
                module = source.partition(".")[2]
                for alias in node.names:
                    inner = f"{module}.{alias.name}" if module else alias.name
                    yield Arrow(importer, inner if inner in paths else module or FRONT, alias.name)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name.partition(".")[0] == PACKAGE:
                        yield Arrow(importer, alias.name.partition(".")[2] or FRONT, "")


def _source_of(node: ast.ImportFrom, importer: str, path: Path) -> str:
    """The full name of the module that is imported from."""
    if not node.level:
        return node.module or ""
    inside = [PACKAGE, *(importer.split(".") if importer != FRONT else [])]
    # A module is one step below its package, which a room's own __init__ is.
    steps = node.level - (path.name == "__init__.py")
    return ".".join([*inside[: len(inside) - steps], *([node.module] if node.module else [])])


def room_of(module: str) -> str:
    """The sub-package of a module, or the module itself where it lies in none."""
    return module.partition(".")[0]


def upward(found: Iterable[Arrow], rooms: Sequence[str] = ROOMS) -> list[Arrow]:
    """Imports from rooms further down."""
    place = {room: number for number, room in enumerate(rooms)}
    return [
        arrow
        for arrow in found
        if FRONT not in (arrow.importer, arrow.imported)
        and place[room_of(arrow.imported)] > place[room_of(arrow.importer)]
    ]


def private(found: Iterable[Arrow]) -> list[Arrow]:
    """Imports of names with an underscore, or from modules with one, across rooms."""
    return [
        arrow
        for arrow in found
        if room_of(arrow.importer) != room_of(arrow.imported)
        and any(part.startswith("_") and not part.startswith("__") for part in (*arrow.imported.split("."), arrow.name))
    ]


def circles(found: Iterable[Arrow], paths: Mapping[str, Path]) -> list[list[str]]:
    """Modules that import each other, directly or by way of others; each circle in alphabetical order."""
    imports = _imports(found, paths)
    reached = {module: _reachable(imports, module) for module in paths}
    rings = {tuple(sorted({module} | {o for o in reached[module] if module in reached[o]})) for module in paths}
    return sorted(list(ring) for ring in rings if len(ring) > 1)


def levels(found: Iterable[Arrow], paths: Mapping[str, Path]) -> dict[str, int]:
    """For each module how many imports deep it stands; those of a circle stand side by side."""
    imports = _imports(found, paths)
    reached = {module: _reachable(imports, module) for module in paths}
    depth: dict[str, int] = {}
    # What a module reaches, reaches fewer modules than it does itself, unless both are in one circle.
    for module in sorted(paths, key=lambda name: len(reached[name] | {name})):
        below = [depth[other] for other in reached[module] if other in depth and module not in reached[other]]
        depth[module] = 1 + max(below, default=0)
    return depth


def _imports(found: Iterable[Arrow], paths: Mapping[str, Path]) -> dict[str, set[str]]:
    """By module the modules that it imports; the package's own, which loads on first use, is left out."""
    imports = {module: set[str]() for module in paths}
    for arrow in found:
        # A room's own __init__ is where its modules are, and no further step.
        if arrow.importer != FRONT and arrow.imported in imports and arrow.imported != arrow.importer:
            imports[arrow.importer].add(arrow.imported)
    return imports


def _reachable(imports: Mapping[str, set[str]], start: str) -> set[str]:
    """The modules that one imports, directly or by way of others; itself only where it is in a circle."""
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        for module in imports[waiting.pop()] - reached:
            reached.add(module)
            waiting.append(module)
    return reached


def lines_of(path: Path) -> int:
    """How many lines a file has."""
    return len(path.read_text(encoding="utf-8").splitlines())


def main(package: Path = ROOT / PACKAGE, rooms: Sequence[str] = ROOMS) -> None:
    """Prints the rooms, and every circle and arrow that should not be there."""
    paths = modules(package)
    found = list(arrows(paths))
    depth, rings = levels(found, paths), circles(found, paths)
    for room in rooms:
        inside = [module for module in paths if room_of(module) == room]
        below = sorted({room_of(arrow.imported) for arrow in found if arrow.importer in inside} - {room, FRONT})
        print(f"{room:<11} {sum(lines_of(paths[module]) for module in inside):>5} lines   imports {', '.join(below)}")
        for module in inside:
            print(f"  {module:<36} {lines_of(paths[module]):>4} lines, level {depth[module]}")
    print(
        f"{len(paths)} modules in {len(rooms)} rooms, {max(depth.values())} levels, circles {len(rings)}, "
        f"upward arrows {len(upward(found, rooms))}, private names across rooms {len(private(found))}"
    )
    for ring in rings:
        print(f"  circle: {', '.join(ring)}")
    for arrow in (*upward(found, rooms), *private(found)):
        print(f"  {arrow.importer} -> {arrow.imported}: {arrow.name}")


if __name__ == "__main__":
    main()
