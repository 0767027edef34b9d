"""Ctrl-C and SIGTERM while training: finish the step, save, then end."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
NOTICE = "stopping after this step; again to end now"


class StopRequested(Exception):
    """A validation ends between two of its batches, in all processes, as the run was to stop."""


class StopRequest:
    """Remembers the first signal to end, as a context manager; a second one ends at once.

    In a thread other than the main one signals cannot be watched, and nothing is changed.

    Args:
        quiet: the first one is not answered on stderr.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.requested, self.quiet = False, quiet
        self.previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self.previous = {number: signal.signal(number, self._remember) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def end_undisturbed(self) -> None:
        """From now on, and afterwards, no signal shall cut this process's last words."""
        self.previous = dict.fromkeys(self.previous, signal.SIG_IGN)
        for number in self.previous:
            signal.signal(number, signal.SIG_IGN)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        if not self.quiet:
            _tell(NOTICE)


def _tell(text: str) -> None:
    """A line on stderr from within a signal handler: past Python's buffer, which may be in use."""
    # suppress: nobody reads any more, or there is no file behind the stream
    with contextlib.suppress(OSError, ValueError, AttributeError):
        number = sys.stderr.fileno()
        start = "\n" if os.isatty(number) else ""  # after the line of progress
        os.write(number, f"{start}{text}\n".encode())
