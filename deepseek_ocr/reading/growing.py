"""JSON Lines that several processes append to, read again only as far as they have grown.

A line counts once its newline is there. What is no object, too long or not UTF-8 is passed over: a
damaged file costs what it held, never the job.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from ..files import append_line

LONGEST_LINE = 1 << 26
"""Bytes; the longest answer of a page takes a thousandth."""

# Valid in JSON, but UTF-8 cannot hold surrogates and many readers break lines at the others.
_TO_ESCAPE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def json_line(row: Any) -> str:
    """`row` as one line of JSON that every reader takes as one line, whatever its texts hold."""
    plain = json.dumps(row, ensure_ascii=False, allow_nan=False)
    return _TO_ESCAPE.sub(lambda match: f"\\u{ord(match[0]):04x}", plain)


class GrowingRows:
    """The objects of a growing file; a subclass keeps of them what it needs.

    Not for several threads at once.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        self._position = 0
        self._file: tuple[int, int] | None = None

    def take(self, row: Mapping[str, Any], start: int, length: int) -> None:
        """A row that is new; its line is `length` bytes from byte `start` on."""
        raise NotImplementedError

    def forget(self) -> None:
        """The file was replaced: all rows come again."""
        raise NotImplementedError

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a row; it is on disk once this returns, and taken at the next `refresh`."""
        append_line(self.path, json_line(row))

    def refresh(self) -> None:
        """Take the rows that any process has added since."""
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            if self._file is not None:
                self._file, self._position = None, 0
                self.forget()
            return
        with file:
            state = os.fstat(file.fileno())
            if (state.st_dev, state.st_ino) != self._file or state.st_size < self._position:
                self._file, self._position = (state.st_dev, state.st_ino), 0
                self.forget()
            file.seek(self._position)
            for line, start, length in whole_lines(file, self._position):
                self._position = start + length
                if (row := object_of(line)) is not None:
                    self.take(row, start, length)


def whole_lines(file: BinaryIO, start: int = 0) -> Iterator[tuple[bytes, int, int]]:
    """Each line that has its newline, the byte at which it begins, and its length with newline.

    One that is longer than `LONGEST_LINE` comes as an empty one of its length.
    """
    while line := file.readline(LONGEST_LINE):
        length, is_long = len(line), False
        while not line.endswith(b"\n"):
            is_long = length >= LONGEST_LINE
            line = file.readline(LONGEST_LINE)
            length += len(line)
            if not line:
                return
        yield b"" if is_long else line, start, length
        start += length


def object_of(line: bytes) -> dict[str, Any] | None:
    """The JSON object that a line holds; None if it holds none."""
    try:
        row = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        return None
    return row if isinstance(row, dict) else None
