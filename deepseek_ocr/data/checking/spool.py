"""Rows kept on disk while a dataset is checked: in memory each takes eight bytes.

A spool is a temporary file of JSON lines that has no name and vanishes with its process, however
that ends. `TMPDIR` says where such files lie.
"""

from __future__ import annotations

import json
import os
import tempfile
from array import array
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

T = TypeVar("T")

READ_BYTES = WRITE_BYTES = 1 << 16
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_decode = json.JSONDecoder().raw_decode  # of a value without blanks around it


class Spool(Generic[T]):
    """A sequence on disk: append to it, go through it from the start, or look one place up.

    `pack` turns an item into a JSON value, `unpack` that value into an equal item.
    """

    def __init__(self, pack: Callable[[T], Any], unpack: Callable[[Any], T]):
        self._pack, self._unpack = pack, unpack
        self._file = tempfile.TemporaryFile(buffering=WRITE_BYTES)  # noqa: SIM115  closed by close()
        self._ends = array("Q")  # of each line, in bytes from the start of the file

    def __len__(self) -> int:
        return len(self._ends)

    def append(self, item: T) -> None:
        """Put an item behind the others.

        Raises:
            OSError: the folder of temporary files is full; the message says what to do.
        """
        line = _encode(self._pack(item)).encode("utf-8", "surrogatepass") + b"\n"
        try:
            self._file.write(line)
        except OSError as error:
            raise _no_room(error) from error
        self._ends.append((self._ends[-1] if self._ends else 0) + len(line))

    def __getitem__(self, place: int) -> T:
        if not 0 <= place < len(self):
            raise IndexError(f"place {place} of {len(self)}")
        start = self._ends[place - 1] if place else 0
        self._flush()
        line = os.pread(self._file.fileno(), self._ends[place] - start, start)
        return self._unpack(_decode(_text(line))[0])

    def __iter__(self) -> Iterator[T]:
        """All items that are there by now; several such walks may go on at once."""
        self._flush()
        end = self._ends[-1] if self._ends else 0
        position, torn = 0, b""
        while position < end:
            size = min(max(READ_BYTES, len(torn)), end - position)  # doubled within a long line
            piece = os.pread(self._file.fileno(), size, position)
            position += len(piece)
            lines, _, torn = (torn + piece).rpartition(b"\n")
            for line in _text(lines).split("\n") if lines else ():
                yield self._unpack(_decode(line)[0])

    def close(self) -> None:
        """Give the disk space back."""
        self._file.close()

    def _flush(self) -> None:
        try:
            self._file.flush()
        except OSError as error:
            raise _no_room(error) from error


def text_spool() -> Spool[str]:
    """A spool of plain texts."""
    return Spool(str, str)


def _text(line: bytes) -> str:
    return line.decode("utf-8", "surrogatepass")


def _no_room(error: OSError) -> OSError:
    reason = (
        f"temporary rows cannot be written ({error.strerror}); set TMPDIR to a folder with room"
    )
    return OSError(error.errno, reason, tempfile.gettempdir())
