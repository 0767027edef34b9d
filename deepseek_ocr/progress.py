"""Progress on stderr: a line with rate and time left on a terminal, plain lines otherwise."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import sys
import time
from collections.abc import Iterator
from typing import Any

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 30.0
UNKNOWN_SHAPE = 80, 24  # columns and rows of a terminal that does not know them
BAR = 10, 40
"""Columns of the drawn bar: with fewer there is none, more it does not get."""


class Progress:
    """Counts `total` steps of `unit`, beginning at `start`; use as a context manager.

    On a terminal one line, as wide as that; in a log a plain line at most every 30 s and one at the
    end. `quiet` shows nothing. stdout is never touched.

    Args:
        passing: it is over soon, mostly: it leaves no line on a terminal, and none in a log where
            it took less than 30 s.
    """

    def __init__(
        self,
        total: int,
        unit: str,
        label: str,
        *,
        start: int = 0,
        quiet: bool = False,
        passing: bool = False,
    ):
        self.total, self.unit, self.label = total, unit, label
        self.count = self.start = start
        self.quiet, self.passing = quiet, passing
        self.notes: dict[str, Any] = {}
        self.brief: list[str] | None = None
        self.began = self.last_line = time.monotonic()
        self.paused_at: float | None = None
        self._told: int | None = None  # the count of the last plain line
        has_line = sys.stderr.isatty() and not quiet and total > 0
        self.bar = _TerminalLine(self) if has_line else None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()
        elif self._wants_last_line:
            self._line()

    @property
    def _wants_last_line(self) -> bool:
        """Whether a log is to hear of the end."""
        is_short = self.passing and self._told is None
        return not self.quiet and not is_short and self.count not in (self.start, self._told)

    def advance(self, steps: int = 1, *, brief: list[str] | None = None, **notes: Any) -> None:
        """Count `steps`; `notes` (such as loss=0.5) are shown beside the count.

        `brief`: what a terminal, which is narrower than a log, shows in their place.
        """
        self.count += steps
        self.notes.update(notes)
        self.brief = brief
        if self.bar is not None:
            self.bar.update(steps)
        elif not self.quiet and time.monotonic() - self.last_line >= SECONDS_BETWEEN_LINES:
            self._line()

    def extend(self, total: int) -> None:
        """There are `total` steps, as has turned out by now."""
        self.total = total
        if self.bar is not None:
            self.bar.total = total
            self.bar.refresh()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """What happens within counts neither for the rate nor for the time left."""
        self.paused_at = time.monotonic()
        try:
            yield
        finally:
            self.began += time.monotonic() - self.paused_at
            self.paused_at = None

    def message(self, text: str) -> None:
        """A plain line on stderr that does not tear the bar."""
        say(text, quiet=self.quiet)

    @property
    def rate(self) -> float:
        """Steps a second so far, without pauses."""
        now = time.monotonic() if self.paused_at is None else self.paused_at
        return (self.count - self.start) / max(now - self.began, 1e-9)

    @property
    def seconds_left(self) -> float:
        """To the end, at the rate so far; infinite where nothing was done yet."""
        return (self.total - self.count) / self.rate if self.rate else math.inf

    def for_terminal(self, columns: int) -> str:
        """Where it is, in so many columns: what matters least is left out first."""
        room = columns - 1  # in the last column some terminals begin a new line
        count = f"{self.count}/{self.total} {self.unit}"
        notes = [f"{key}={value}" for key, value in self.notes.items()]
        notes = notes if self.brief is None else self.brief
        if self.count == self.start:
            return f"{self.label}: {count}"[:room]
        left, rate = f"{duration(self.seconds_left)} left", speed(self.rate, self.unit)
        share = self.count / self.total if self.total else 1.0
        before, after = f"{self.label}: {share:4.0%} ", ", ".join([count, rate, left, *notes])
        if (width := min(room - len(before) - len(after) - 1, BAR[1])) >= BAR[0]:
            return f"{before}{_drawn(share, width)} {after}"
        head = f"{self.label}: {self.count}/{self.total}"
        for separator, parts in (
            (", ", [head, rate, left, *notes]),
            (", ", [head, left, *notes]),
            (" ", [head, left, *notes]),
        ):
            if len(line := separator.join(parts)) <= room:
                return line
        return line[:room]

    def _line(self) -> None:
        self.last_line, self._told = time.monotonic(), self.count
        notes = "".join(f" {key}={value}" for key, value in self.notes.items())
        print(  # noqa: T201  the place where progress is printed
            f"{self.label}: {self.count}/{self.total} {self.unit}, "
            f"{speed(self.rate, self.unit)}, {duration(self.seconds_left)} left{notes}",
            file=sys.stderr,
            flush=True,
        )


class _TerminalLine(tqdm):
    """tqdm's way to keep a line at the bottom, with a text of ours."""

    def __init__(self, progress: Progress):
        self._progress = progress
        super().__init__(
            total=progress.total,
            initial=progress.start,
            file=sys.stderr,
            leave=not progress.passing,
            ncols=UNKNOWN_SHAPE[0],  # so that it does not ask: the text is as wide as it may be
            nrows=UNKNOWN_SHAPE[1],
        )

    def __str__(self) -> str:
        return self._progress.for_terminal(_columns())


def say(text: str, *, quiet: bool = False) -> None:
    """A plain line on stderr that does not tear a bar, whoever shows one; nothing if `quiet`."""
    if not quiet:
        tqdm.write(text, file=sys.stderr)


def speed(rate: float, unit: str) -> str:
    """A rate in words: `4.9 rows/s`, and `1.04 s/row` below one a second."""
    if rate >= 1:
        return f"{_plain(rate)} {unit}/s"
    one = unit.removesuffix("es" if unit.endswith("ches") else "s")
    return f"{_plain(1 / rate) if rate else '?'} s/{one}"


def duration(seconds: float) -> str:
    """A span of time: `45 s`, `2:05` (minutes), `1:02:03` (hours); `?` if it is infinite."""
    if math.isinf(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}" if minutes else f"{rest} s"


def _plain(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def _drawn(share: float, width: int) -> str:
    """A bar of `width` columns."""
    inside = width - 2
    done = min(int(share * inside), inside)
    return "[" + "#" * done + "." * (inside - done) + "]"


def _columns() -> int:
    """Of the terminal on stderr; some, within a container, say that they have none."""
    try:
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError):
        columns = shutil.get_terminal_size(UNKNOWN_SHAPE).columns
    return columns or UNKNOWN_SHAPE[0]
