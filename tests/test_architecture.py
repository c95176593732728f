"""The rules of the house, measured: rooms, imports in one direction, and files that are read in one sitting."""

import pytest

from tests.architecture import (
    FRONT,
    PACKAGE,
    ROOMS,
    Arrow,
    arrows,
    circles,
    levels,
    lines_of,
    main,
    modules,
    private,
    rooms_on_disk,
    upward,
)

LONGEST = 350


@pytest.fixture(scope="module")
def paths():
    return modules()


@pytest.fixture(scope="module")
def found(paths):
    return list(arrows(paths))


def test_the_rooms_that_are_listed_are_those_on_disk(paths):
    assert rooms_on_disk(paths) == set(ROOMS)


def test_no_room_is_called_utils(paths):
    assert not [module for module in paths if "utils" in module.split(".")]


def test_no_modules_import_each_other(found, paths):
    assert circles(found, paths) == []


def test_no_room_imports_from_one_below_it(found):
    assert upward(found) == []


def test_no_room_imports_what_is_private_to_another(found):
    assert private(found) == []


def test_every_file_is_read_in_one_sitting(paths):
    assert {module: lines_of(path) for module, path in paths.items() if lines_of(path) > LONGEST} == {}


# === The measuring functions, on a package that breaks every rule ===

FILES = {
    "__init__.py": "from agad_tf.low.one import first\n",
    "low/__init__.py": "",
    "low/one.py": "from agad_tf.low.two import second\n",
    "low/two.py": "def second():\n    from agad_tf.low import one\n",
    "low/_hidden.py": "from . import two\n",
    "high/__init__.py": "import agad_tf\n",
    "high/three.py": "from agad_tf.low.one import _private\nfrom agad_tf.low import _hidden\nimport numpy\n",
    "low/four.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from agad_tf.high.three import name\n",
    "single.py": "import agad_tf.high.three\n",
}
FAKE_ROOMS = ("low", "high", "single")


@pytest.fixture
def fake(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / PACKAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / PACKAGE


def test_modules_are_named_by_where_they_are(fake):
    rooms = {"low", "low.one", "low.two", "low._hidden", "low.four", "high", "high.three", "single"}
    assert set(modules(fake)) == {FRONT, *rooms}
    assert rooms_on_disk(modules(fake)) == set(FAKE_ROOMS)


def test_imports_of_every_form_are_arrows(fake):
    assert set(arrows(modules(fake))) == {
        Arrow(FRONT, "low.one", "first"),
        Arrow("low.one", "low.two", "second"),
        Arrow("low.two", "low.one", "one"),
        Arrow("low._hidden", "low.two", "two"),
        Arrow("low.four", "high.three", "name"),
        Arrow("high", FRONT, ""),
        Arrow("high.three", "low.one", "_private"),
        Arrow("high.three", "low._hidden", "_hidden"),
        Arrow("single", "high.three", ""),
    }


def test_a_circle_is_found_in_whatever_way_it_is_closed(fake):
    paths = modules(fake)
    assert circles(arrows(paths), paths) == [["low.one", "low.two"]]
    (fake / "low" / "two.py").write_text("from agad_tf.high import three\n")
    assert circles(arrows(paths), paths) == [["high.three", "low._hidden", "low.one", "low.two"]]
    (fake / "low" / "two.py").write_text("")
    assert circles(arrows(paths), paths) == []


def test_an_upward_arrow_is_found_though_it_is_for_type_checkers(fake):
    assert upward(arrows(modules(fake)), FAKE_ROOMS) == [Arrow("low.four", "high.three", "name")]


def test_private_names_and_private_modules_are_found_across_rooms_alone(fake):
    assert set(private(arrows(modules(fake)))) == {
        Arrow("high.three", "low.one", "_private"),
        Arrow("high.three", "low._hidden", "_hidden"),
    }


def test_levels_count_imports_and_a_circle_is_one(fake):
    paths = modules(fake)
    depth = levels(arrows(paths), paths)
    assert (depth["low.one"], depth["low.two"]) == (1, 1)
    assert (depth["low._hidden"], depth["high.three"], depth["single"]) == (2, 3, 4)


def test_a_circle_is_printed_and_no_traceback(fake, capsys):
    main(fake, FAKE_ROOMS)
    printed = capsys.readouterr().out
    assert "9 modules in 3 rooms, 4 levels, circles 1, upward arrows 1, private names across rooms 2" in printed
    assert "circle: low.one, low.two" in printed
    assert "low.four -> high.three: name" in printed
