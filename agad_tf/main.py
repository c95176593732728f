"""Finds anomalies in images: `python -m agad_tf.main --flagfile=flags/folder.cfg --data_dir=photos`."""

import contextlib
import io
import re
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

from absl import app, flags

from agad_tf.benchmark.sweep_flags import sweep_from_flags
from agad_tf.config import flags as flagfile
from agad_tf.config.command_line import (
    EXIT_USAGE,
    ended_without_finalization,
    one_sentence_on_failure,
    silenced_start,
    stop,
)
from agad_tf.config.errors import RunError, UsageError
from agad_tf.config.flagfiles import FLAGFILES, with_flagfiles
from agad_tf.config.flags import config_from_flags, define_flags
from agad_tf.config.options import parse_budget
from agad_tf.config.seconds import CLOCK

define_flags(flags.FLAGS)
HOW_TO_BEGIN = """agad_tf finds anomalies in images. To begin:
  {command} --flagfile=digits.cfg                                       # handwritten digits, under two minutes
  {command} --flagfile=folder.cfg --data_dir=photos --workdir=runs/own  # your own images; good ones are enough
  {command} --mode=predict --workdir=runs/own --input=new_photos        # then scores new images
  {command} --help                                                      # all flags
Flagfiles: {flagfiles}."""


def main(arguments: Sequence[str]) -> None:
    """Runs the mode that the flags name; an error ends it with one sentence and an exit code."""
    # SIGTERM ends the command in the same way as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with one_sentence_on_failure(f"Interrupted; the same command continues where it stopped: {_command()}"):
        if arguments[1:]:
            raise UsageError(f"'{arguments[1]}' is not a flag; flags have the form --name=value, see --help.")
        if flags.FLAGS.mode == "benchmark":
            sweep = sweep_from_flags(flags.FLAGS)
            with silenced_start():
                from agad_tf.benchmark.runner import benchmark  # noqa: PLC0415

            benchmark(sweep)
            return
        config, budget = config_from_flags(flags.FLAGS), parse_budget(flags.FLAGS.budget)
        # TensorFlow takes seconds to import, so flags are checked first.
        with CLOCK.within("import"), silenced_start():
            from agad_tf.audit import command as audit  # noqa: PLC0415
            from agad_tf.demo import command as demonstration  # noqa: PLC0415
            from agad_tf.prediction import predict  # noqa: PLC0415
            from agad_tf.training import run as training  # noqa: PLC0415

        run_mode = {
            "train": lambda config: training.train(config, budget),
            "evaluate": training.evaluate,
            "predict": lambda config: predict.predict(
                config, flags.FLAGS.input, flags.FLAGS.output, flags.FLAGS.save_maps
            ),
            "export": training.export,
            "demo": demonstration.demo,
            "audit": lambda config: audit.audit(
                config, flags.FLAGS.model, flags.FLAGS.training_mode, flags.FLAGS.input_range
            ),
        }[config.mode]
        with _errors_by_way_of_tensorflow():
            run_mode(config)


def run() -> None:
    """Entry point of the console script; without flags it prints how to begin."""
    # A terminal that cannot show the paper's symbols must not end the command.
    for stream in (sys.stdout, sys.stderr):
        cast(io.TextIOWrapper, stream).reconfigure(errors="replace")
    if not sys.argv[1:]:
        names = ", ".join(sorted(path.name for path in FLAGFILES.glob("*.cfg")))
        print(HOW_TO_BEGIN.format(command=_command(), flagfiles=names), file=sys.stderr)
        raise SystemExit(EXIT_USAGE)
    # --help shows the flags of the program that was called, whose name differs between `python -m` and agad-tf.
    for flag in flags.FLAGS.get_flags_for_module(flagfile):
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
    with ended_without_finalization():
        app.run(main, flags_parser=_parse_flags)


def _command() -> str:
    """The command line as the user typed it, or an equivalent one."""
    program, *arguments = sys.argv
    name = ["agad-tf"] if Path(program).stem == "agad-tf" else ["python", "-m", "agad_tf.main"]
    return shlex.join([*name, *arguments])


def _parse_flags(arguments: Sequence[str]) -> list[str]:
    try:
        return flags.FLAGS(with_flagfiles(arguments))
    except (flags.Error, UsageError) as error:
        stop(error, EXIT_USAGE)
    except SystemExit as end:
        # absl ends --help with exit code 1, but help is not a failure.
        raise SystemExit(0 if end.code == 1 else end.code) from None


@contextlib.contextmanager
def _errors_by_way_of_tensorflow() -> Iterator[None]:
    """Converts TensorFlow's own exceptions for full disks, forbidden folders and unreadable images."""
    from tensorflow import errors  # noqa: PLC0415

    kinds = (
        *(errors.ResourceExhaustedError, errors.PermissionDeniedError, errors.NotFoundError),
        *(errors.DataLossError, errors.UnavailableError, errors.UnknownError, errors.FailedPreconditionError),
    )
    try:
        yield
    except kinds as error:
        # TensorFlow wraps exceptions of Python code in the input pipeline in its own words and a traceback.
        if own := re.search(r"RunError: (.+)", error.message):
            raise RunError(own[1]) from error
        # Errors in a graph begin with the place where it was built.
        in_graph = re.search(r"(.+)\n\s*\[\[\{\{node", error.message)
        raise OSError(in_graph[1] if in_graph else error.message.splitlines()[0]) from error


if __name__ == "__main__":
    run()
