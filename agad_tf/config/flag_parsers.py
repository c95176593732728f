"""How the text of a flag becomes a value: classes, paths, and one or several values."""

import os
from typing import Any

from absl import flags


class OneOrMore(flags.ArgumentParser):
    """Parses one value, several values separated by commas, or a word that stands for several.

    Args:
        parser: of a single value.
        word: that stands for several values.
    """

    def __init__(self, parser: flags.ArgumentParser, word: str = ""):
        self.parser = parser
        self.word = word
        self.syntactic_help = f"{parser.syntactic_help}; with --mode=benchmark several, separated by commas"

    def parse(self, argument: Any) -> Any:
        """One value; several as a tuple; or the word."""
        if (self.word and argument == self.word) or not isinstance(argument, str):
            return argument
        values = tuple(self.parser.parse(item) for item in argument.split(","))
        return values if len(values) > 1 else values[0]

    def flag_type(self) -> str:
        """The type of the value, for --help."""
        return f"{self.parser.flag_type()} or a list of them"


class ClassParser(flags.ArgumentParser):
    """Parses a class: its number, or its name."""

    syntactic_help = "a number or a name"

    def parse(self, argument: Any) -> Any:
        """A number, if it is one."""
        return int(argument) if str(argument).lstrip("-").isdecimal() else argument

    def flag_type(self) -> str:
        """The type of the value, for --help."""
        return "class"


class PathParser(flags.ArgumentParser):
    """Parses a path, and expands ~ and environment variables as a shell does."""

    syntactic_help = "a path"

    def parse(self, argument: Any) -> str:
        """The path, expanded; a variable that is not set stays as it is."""
        return os.path.expanduser(os.path.expandvars(argument))  # noqa: PTH111

    def flag_type(self) -> str:
        """The type of the value, for --help."""
        return "path"
