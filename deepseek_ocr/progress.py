"""Progress on stderr: a bar with rate and time left on a terminal, plain lines otherwise."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, TextIO

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 30.0
UNKNOWN_SHAPE = 80, 24  # columns and rows of a terminal that does not know them


class Progress:
    """Counts `total` steps of `unit`, beginning at `start`; use as a context manager.

    On a terminal a tqdm bar; in a log a plain line at most every 30 s and one at the end.
    `quiet` shows nothing. stdout is never touched.
    """

    def __init__(self, total: int, unit: str, label: str, *, start: int = 0, quiet: bool = False):
        self.total, self.unit, self.label = total, unit, label
        self.count = self.start = start
        self.quiet = quiet
        self.notes: dict[str, Any] = {}
        self.began = self.last_line = time.monotonic()
        terminal = sys.stderr.isatty() and not quiet
        self.bar = (
            tqdm(
                total=total,
                initial=start,
                unit=f" {unit}",
                desc=label,
                file=sys.stderr,
                **_shape(sys.stderr),
            )
            if terminal
            else None
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()
        elif not self.quiet and self.count > self.start:
            self._line()

    def advance(self, steps: int = 1, **notes: Any) -> None:
        """Count `steps`; `notes` (such as loss=0.5) are shown beside the count."""
        self.count += steps
        self.notes.update(notes)
        if self.bar is not None:
            self.bar.set_postfix(self.notes, refresh=False)
            self.bar.update(steps)
        elif not self.quiet and time.monotonic() - self.last_line >= SECONDS_BETWEEN_LINES:
            self._line()

    def extend(self, total: int) -> None:
        """There are `total` steps, as has turned out by now."""
        self.total = total
        if self.bar is not None:
            self.bar.total = total
            self.bar.refresh()

    def message(self, text: str) -> None:
        """A plain line on stderr that does not tear the bar."""
        say(text, quiet=self.quiet)

    def _line(self) -> None:
        self.last_line = time.monotonic()
        rate = (self.count - self.start) / max(self.last_line - self.began, 1e-9)
        left = (self.total - self.count) / rate if rate else float("inf")
        notes = "".join(f" {key}={value}" for key, value in self.notes.items())
        print(  # noqa: T201  the place where progress is printed
            f"{self.label}: {self.count}/{self.total} {self.unit}, {_plain(rate)} {self.unit}/s, "
            f"{left:.0f} s left{notes}",
            file=sys.stderr,
            flush=True,
        )


def say(text: str, *, quiet: bool = False) -> None:
    """A plain line on stderr that does not tear a bar, whoever shows one; nothing if `quiet`."""
    if not quiet:
        tqdm.write(text, file=sys.stderr)


def _plain(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def _shape(stream: TextIO) -> dict[str, int]:
    """For a terminal that says it has no columns or rows, as one within a container may, others:
    tqdm would show nothing on it. Else nothing: tqdm asks for itself.
    """
    try:
        is_known = all(os.get_terminal_size(stream.fileno()))
    except (OSError, ValueError):
        return {}
    return {} if is_known else {"ncols": UNKNOWN_SHAPE[0], "nrows": UNKNOWN_SHAPE[1]}
