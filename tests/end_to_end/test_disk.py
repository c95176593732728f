"""Disks that are full or may not be written to: one sentence, and nothing is lost."""

import os
import subprocess

import pytest

from tests.end_to_end.test_readme import agad

COMMAND = ["--flagfile=flags/digits.cfg", "--epochs=3", "--width=0.125", "--batch_size=32"]


@pytest.fixture
def disk(tmp_path):
    """A file system of its own, and a function that changes how it is mounted."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options):
        return subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", place], check=False, capture_output=True)

    if os.geteuid() != 0 or mount("size=100k").returncode:
        pytest.skip("only the superuser may mount a file system, and not in every container")
    yield place, lambda options: mount(f"remount,{options}")
    subprocess.run(["umount", "-l", place], check=True)


def content_of(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "lock"}


def one_sentence(done, words):
    assert done.returncode == 1, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("agad_tf:")]
    assert said.endswith(".") or words in said


def test_a_full_disk_ends_a_run_which_goes_on_when_there_is_room(disk):
    place, remount = disk
    command = [*COMMAND, f"--workdir={place}/run"]
    # Enough for the first checkpoint; for all of them, but not for the detector.
    for size in ("300k", "900k"):
        remount(f"size={size}")
        one_sentence(agad(*command), "No space left on device")
    assert list(place.glob("run/checkpoints/epoch-3.index"))
    remount("size=100m")
    done = agad(*command)
    assert done.returncode == 0, done.stderr
    assert (place / "run" / "results.json").exists()
    # Exporting again onto a full disk leaves the detector that is there.
    before = content_of(place / "run")
    (place / "filler").write_bytes(bytes(100 * 2**20 - 2**18 - sum(map(len, before.values()))))
    one_sentence(agad("--mode=export", f"--workdir={place}/run"), "No space left on device")
    assert {path: content for path, content in content_of(place / "run").items() if path in before} == before


def test_a_folder_that_may_not_be_written_to_ends_a_run_and_stays_as_it_is(disk):
    place, remount = disk
    remount("size=100m")
    command = [*COMMAND, "--epochs=1", f"--workdir={place}/run"]
    assert agad(*command).returncode == 0
    (place / "run" / "results.json").unlink()
    before = content_of(place)
    remount("ro")
    one_sentence(agad(*command), "Read-only file system")
    assert content_of(place) == before
