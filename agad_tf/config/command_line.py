"""What commands write to the terminal: exit codes, one sentence on failure, and no messages of TensorFlow's set-up."""

import atexit
import contextlib
import os
import sys
from collections.abc import Iterator
from typing import NoReturn

from absl import logging

from agad_tf.config.errors import RunError, UsageError

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def stop(reason: object, code: int) -> NoReturn:
    """Ends the command with one sentence and an exit code."""
    print(f"agad_tf: {reason}", file=sys.stderr)
    raise SystemExit(code)


@contextlib.contextmanager
def one_sentence_on_failure(if_interrupted: str) -> Iterator[None]:
    """Turns an error that the user can fix into one sentence and an exit code.

    Args:
        if_interrupted: what to say on Ctrl-C.
    """
    try:
        yield
    except UsageError as error:
        stop(error, EXIT_USAGE)
    except PermissionError as error:
        named = f"No permission to read or write {error.filename}; give this user the permission."
        stop(named if error.filename else error, EXIT_FAILURE)
    except (RunError, OSError) as error:
        stop(error, EXIT_FAILURE)
    except KeyboardInterrupt:
        stop(if_interrupted, EXIT_INTERRUPTED)


@contextlib.contextmanager
def ended_without_finalization() -> Iterator[None]:
    """Ends the process after its exit handlers, before the interpreter deletes its objects.

    An error or Ctrl-C may end the command while tf.data's threads read images. Otherwise the interpreter stops these
    threads in the middle of Python code, and TensorFlow waits for them without end when the dataset's iterator is
    deleted. Exit handlers that were registered before do not run; here these are only logging's.
    """
    code: object = EXIT_FAILURE

    def end() -> None:
        status = 0 if code is None else code if isinstance(code, int) else EXIT_FAILURE
        try:
            sys.stderr.flush()
            sys.stdout.flush()
        except BrokenPipeError:
            status = status or EXIT_FAILURE
        except OSError as error:
            status = status or EXIT_FAILURE
            print(f"agad_tf: The output could not be written ({error.strerror}).", file=sys.stderr, flush=True)
        finally:
            os._exit(status)

    atexit.register(end)
    try:
        yield
    except SystemExit as ended:
        code = ended.code
        raise
    else:
        code = None


@contextlib.contextmanager
def silenced_start() -> Iterator[None]:
    """Keeps TensorFlow's messages about its set-up off the terminal.

    TensorFlow reports missing devices before its log level applies. Real errors come as exceptions. Set
    TF_CPP_MIN_LOG_LEVEL=0 to read everything.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        yield
        if os.environ["TF_CPP_MIN_LOG_LEVEL"] != "0":
            logging.set_verbosity(logging.WARNING)
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.stderr.flush()
    stderr = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), 2)
        yield
        import tensorflow as tf  # noqa: PLC0415

        tf.config.list_physical_devices()
        logging.set_verbosity(logging.WARNING)
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
