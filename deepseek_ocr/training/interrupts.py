"""Ctrl-C and SIGTERM while training: finish the step, save, then end."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Remembers the first signal to end, as a context manager; a second one ends at once.

    In a thread other than the main one signals cannot be watched, and nothing is changed.
    """

    def __init__(self) -> None:
        self.requested = False
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
