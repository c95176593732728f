"""What the READMEs tell a reader to type: the commands and Python blocks of all fenced blocks, in their order."""

import dataclasses
import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]
READMES = ("README.md", "flags/README.md", "agad_tf/README.md", "tests/README.md", "tests/benchmarks/README.md")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Blocks that show something else than what to type.
NO_COMMANDS = ("", "mermaid")


@dataclasses.dataclass(frozen=True)
class Command:
    """A command of a shell, or a whole Python block."""

    readme: str
    line: int
    text: str
    is_python: bool = False

    def __str__(self) -> str:
        return f"{self.readme}:{self.line} {self.text.splitlines()[0][:80]}"


def commands() -> list[Command]:
    """All commands of all READMEs."""
    return [command for readme in READMES for command in _commands_of(readme)]


def _commands_of(readme: str) -> list[Command]:
    text = (ROOT / readme).read_text(encoding="utf-8")
    found = []
    for block in FENCE.finditer(text):
        language, content, line = block[1], block[2], text[: block.start(2)].count("\n") + 1
        if language == "python":
            found.append(Command(readme, line, content, is_python=True))
        elif language == "bash":
            found += [Command(readme, line + offset, text) for offset, text in _shell_commands(content)]
        elif language == "yaml":
            lists = re.finditer(r"command: \[(.+)\]", content)
            found += [Command(readme, line, " ".join(words[1].split(", "))) for words in lists]
        elif language not in NO_COMMANDS:
            raise ValueError(f"{readme}:{line}: a block in {language} may hold commands; read them here.")
        elif re.search(r"^(python|pip|pytest|agad-tf)\b", content, re.MULTILINE):
            raise ValueError(f"{readme}:{line}: a block with commands has no language; write ```bash.")
    return found


def _shell_commands(block: str) -> list[tuple[int, str]]:
    """Commands with their lines, without comments; those that `&&` joins are taken apart."""
    found, begun, started = [], "", 0
    for offset, line in enumerate(block.splitlines()):
        if not begun:
            started = offset
            line = re.sub(r"(^|\s+)#.*$", "", line)  # noqa: PLW2901
        begun += line
        if begun.endswith("\\"):
            begun = begun[:-1]
        elif _quotes_are_closed(begun):
            found += [(started, part.strip()) for part in begun.split(" && ") if part.strip()]
            begun = ""
        else:
            begun += "\n"
    if begun:
        raise ValueError(f"A quotation has no end: {begun}")
    return found


def _quotes_are_closed(text: str) -> bool:
    try:
        shlex.split(text)
    except ValueError:
        return False
    return True


def calls(module: str, text: str) -> list[list[str]]:
    """The arguments of each call of a module in a command, also where another program is told to call it."""
    return [
        [word for word in shlex.split(arguments) if word != "…"]
        for arguments in re.findall(rf"python -m {re.escape(module)}\b((?:[^'\"\n]|'[^'\n]*')*)", text)
    ]
