"""Ends training between two steps on Ctrl-C or SIGTERM."""

import signal
import threading
from typing import Any

import keras


class Interruption(keras.callbacks.Callback):
    """Ends training between two steps on Ctrl-C or SIGTERM; a context manager around `fit`.

    Python's default raises an exception at any point, which aborts the process inside TensorFlow. Must come after the
    checkpoints in the list of callbacks, which must know how far training has come.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        super().__init__()
        self.requested = False

    def __enter__(self) -> "Interruption":
        # Python allows signal handlers only in the main thread.
        in_main_thread = threading.current_thread() is threading.main_thread()
        self._handlers = {number: signal.signal(number, self._request) for number in self.SIGNALS if in_main_thread}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _request(self, *_: object) -> None:
        self.requested = True

    def poll(self) -> None:
        """Raises KeyboardInterrupt if a signal has arrived.

        Raises:
            KeyboardInterrupt: it was.
        """
        if self.requested:
            raise KeyboardInterrupt

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Ends training if a signal arrived during the step."""
        self.poll()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Ends training if a signal arrived while the epoch was scored."""
        self.poll()
