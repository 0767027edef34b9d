"""Output streams that a finished job outlives: closed, cut off by `| head`, or without UTF-8."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any


class LastingStream:
    """An output stream whose reader may leave: what nobody reads any more is dropped.

    A job whose files are written must not fail because its last lines met a closed pipe.
    """

    def __init__(self, stream: Any):
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write, unless the reader has left."""
        return self._unless_closed(self.stream.write, text) or 0

    def flush(self) -> None:
        """Flush, unless the reader has left."""
        self._unless_closed(self.stream.flush)

    def _unless_closed(self, act: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return act(*arguments)
        except BrokenPipeError:
            # suppress: there is no file behind a test's stream
            with contextlib.suppress(OSError, ValueError), open(os.devnull, "w") as nowhere:  # noqa: PTH123
                os.dup2(nowhere.fileno(), self.stream.fileno())
            return None


def frank_stdout() -> Any:
    """stdout that raises BrokenPipeError once its reader has left, for work that only it needs."""
    return getattr(sys.stdout, "stream", sys.stdout)


def _lasting(stream: Any) -> Any:
    return stream if isinstance(stream, LastingStream) else LastingStream(stream)


@contextlib.contextmanager
def lasting_streams() -> Iterator[None]:
    """Let stdout and stderr be closed, cut off, or without UTF-8, and the job still ends well."""
    before = sys.stdout, sys.stderr
    for stream in before:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    nowhere = open(os.devnull, "w")  # noqa: PTH123, SIM115  Python has None for a closed stream
    sys.stdout, sys.stderr = (_lasting(stream or nowhere) for stream in before)
    try:
        yield
        sys.stdout.flush()
    finally:
        sys.stdout, sys.stderr = before
        nowhere.close()
