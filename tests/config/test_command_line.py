"""How the command's process ends: exit codes and output."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from agad_tf.config.command_line import ended_without_finalization
class Last:
    def __del__(self):
        print("deleted by the interpreter", flush=True)
last = Last()
last.itself = last
with ended_without_finalization():
    print("output")
    {}
"""


def ended(statement, **options):
    program = PROGRAM.format(statement)
    return subprocess.run([sys.executable, "-c", program], check=False, text=True, stderr=subprocess.PIPE, **options)


@pytest.mark.parametrize(
    ("statement", "code"),
    [("pass", 0), ("sys.exit()", 0), ("sys.exit(2)", 2), ("sys.exit('words')", 1), ("raise ValueError('seen')", 1)],
)
def test_a_process_ends_with_its_code_and_its_output_before_objects_are_deleted(statement, code):
    done = ended(statement, stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (code, "output\n")
    assert all(word in done.stderr for word in ("words", "seen") if word in statement)


def test_output_that_cannot_be_written_is_a_failure_and_says_so(monkeypatch, tmp_path):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    (tmp_path / "file").touch()
    with (tmp_path / "file").open() as readable_only:
        done = ended("sys.exit()", stdout=readable_only)
    assert done.returncode == 1
    assert done.stderr == "agad_tf: The output could not be written (Bad file descriptor).\n"
