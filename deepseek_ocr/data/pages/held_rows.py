"""One row of a file of rows, looked up by its number: JSON Lines, JSON arrays, parquet, arrow.

Training asks for rows in any order, so each file gets an index of where its rows begin (8 bytes a
row), made once a process and made anew when the file has changed.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import threading
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import IO, Any, ClassVar, Protocol

from ...errors import PageError
from ..json_files.rows import MAX_ROW_BYTES
from ..json_files.strict import RowError, after_blanks, as_object, decode_value
from .references import Reference

OPEN_FILES = 128
GROUPS_HELD = 4  # row groups of parquet files
MAX_GROUP_BYTES = 1 << 30
PIECE_BYTES = 1 << 22
ROWS_A_BATCH = 16
MAX_COPIED_BYTES = 1 << 28  # of an arrow file in memory; what is not compressed takes none

WITHOUT_PYARROW = 'reading it needs pyarrow; install it with pip install "deepseek-ocr[parquet]"'


def held_row(path: Path, reference: Reference) -> Mapping[str, Any]:
    """The row of the file at `path` that `reference` names, as Python values.

    Raises:
        PageError: the file cannot be read, has no such row, or the row is no object.
    """
    try:
        status = path.stat()
        key = (path, reference.line is not None, status.st_ino, status.st_size, status.st_mtime_ns)
        rows = _opened(*key, os.getpid())  # a fork must not share files with its parent
        number = reference.line or reference.row or 1
        if number > len(rows):
            raise RowError("", f"has no such {_part(reference)}; it holds {len(rows)}")
        return rows.row(number)
    except RowError as error:
        raise PageError(f"{reference}: {error}") from None
    except OSError as error:
        reason = error.strerror or "is damaged"
        raise PageError(f"{reference}: the file cannot be read ({reason})") from None
    except MemoryError:
        raise PageError(f"{reference}: too large to be held; make the row smaller") from None


class _Rows(Protocol):
    """Rows by number from 1; `row` raises `RowError`."""

    def __len__(self) -> int: ...

    def row(self, number: int) -> Mapping[str, Any]: ...


@functools.lru_cache(maxsize=OPEN_FILES)
def _opened(path: Path, is_lines: bool, *_of_this_version: int) -> _Rows:
    if is_lines:
        return _JsonRows(path, _line_starts)
    suffix = path.suffix.lower()
    if suffix not in (".parquet", ".arrow"):
        return _JsonRows(path, _element_starts)
    with _damage_of_arrow():
        return (_ParquetRows if suffix == ".parquet" else _ArrowRows)(path)


def _part(reference: Reference) -> str:
    return "line" if reference.line is not None else "row"


class _JsonRows:
    """Objects in a text file, with the byte at which each begins."""

    def __init__(self, path: Path, find_starts: Any):
        self.path = path
        with path.open("rb") as file:
            self.starts = find_starts(file)  # one more than rows: where the last one ends

    def __len__(self) -> int:
        return len(self.starts) - 1

    def row(self, number: int) -> Mapping[str, Any]:
        start, end = self.starts[number - 1], self.starts[number]
        if end - start > MAX_ROW_BYTES:
            raise RowError("", f"the row has more than {MAX_ROW_BYTES >> 20} MiB; split it")
        with self.path.open("rb") as file:
            file.seek(start)
            content = file.read(end - start)
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise RowError("", "the row is not UTF-8; save the file in UTF-8") from None
        begin = after_blanks(text, 0)
        value, _ = decode_value(text, begin)
        return as_object(value, begin)


def _line_starts(file: IO[bytes]) -> array[int]:
    import numpy as np  # here, so that commands answer before it is loaded

    starts, place = array("q", [0]), 0
    while piece := file.read(PIECE_BYTES):
        ends = np.flatnonzero(np.frombuffer(piece, np.uint8) == ord("\n"))
        starts.frombytes((ends + (place + 1)).astype(np.int64).tobytes())
        place += len(piece)
    if starts[-1] != place:  # the last line has no end
        starts.append(place)
    return starts


def _element_starts(file: IO[bytes]) -> array[int]:
    """Where the elements of a JSON array begin; then where the last one ends.

    The bytes are parsed as Latin-1: a character is a byte then, and JSON's own marks are the same
    in UTF-8. What the strings say is not looked at.
    """
    text = _Latin1(file)
    starts = array("q")
    if text.next_mark() == 0xFEFF:
        text.place += 3
    if text.next_mark() != ord("["):
        raise RowError("", "expected a JSON array of objects")
    mark = ord("[")
    while mark != ord("]"):
        text.place += 1
        if text.next_mark() == ord("]") and not starts:
            return array("q", [text.offset])
        starts.append(text.offset)
        text.pass_value()
        end = text.offset
        mark = text.next_mark()
        if mark not in (ord(","), ord("]")):
            raise RowError("", f"not valid JSON after element {len(starts)}")
    starts.append(end)
    return starts


class _Latin1:
    """The characters of a file, a byte each, read on as needed; `place` is in `text`."""

    def __init__(self, file: IO[bytes]):
        self.file = file
        self.text, self.place, self.before = "", 0, 0
        self.decoder = json.JSONDecoder()

    @property
    def offset(self) -> int:
        """The byte of the file at `place`."""
        return self.before + self.place

    def next_mark(self) -> int:
        """Moves to the next character that is no blank: its code, or 0xFEFF for a byte order mark.

        Raises:
            RowError: the file ends before it.
        """
        while True:
            self.place = after_blanks(self.text, self.place)
            if self.text.startswith("\xef\xbb\xbf", self.place) and self.offset == 0:
                return 0xFEFF
            if self.place < len(self.text):
                return ord(self.text[self.place])
            if not self._read(PIECE_BYTES):
                raise RowError("", "not valid JSON (it ends too early)")

    def pass_value(self) -> None:
        """Moves behind the JSON value at `place`.

        Raises:
            RowError: there is none, or it is too long.
        """
        size, length, fault = PIECE_BYTES, 0, ""
        while True:
            try:
                _, end = self.decoder.raw_decode(self.text, self.place)
                length, fault = end - self.place, ""
            except json.JSONDecodeError as error:
                fault = f"not valid JSON ({error.msg[:1].lower()}{error.msg[1:]})"
            except (RecursionError, ValueError):
                raise RowError("", "nested too deeply, or a number with too many digits") from None
            if not fault and self.place + length < len(self.text):
                break
            if len(self.text) - self.place > MAX_ROW_BYTES:
                raise RowError("", f"a row has more than {MAX_ROW_BYTES >> 20} MiB; split it")
            if not self._read(size):  # else a number might have gone on
                break
            size *= 2  # else a long row would be parsed from its start for each piece
        if fault:
            raise RowError("", fault)
        self.place += length

    def _read(self, size: int) -> bool:
        piece = self.file.read(size)
        self.before += self.place
        self.text = self.text[self.place :] + piece.decode("latin-1")
        self.place = 0
        return bool(piece)


class _ParquetRows:
    """Rows of a parquet file. Within a row group they are decoded from its start, and on from the
    last one asked for: groups of about a hundred rows are quick in any order."""

    lock = threading.Lock()
    begun: ClassVar[list[_ParquetRows]] = []  # whose row groups are held in memory
    group: int
    batches: Iterator[Any]
    batch: Any
    begin: int  # place of the first row of `batch`,
    end: int  # and of the first one behind it

    def __init__(self, path: Path):
        from pyarrow import parquet

        self.file = parquet.ParquetFile(path, memory_map=True, pre_buffer=False)
        groups = [self.file.metadata.row_group(i) for i in range(self.file.num_row_groups)]
        if any(group.total_byte_size > MAX_GROUP_BYTES for group in groups):
            found = f"row groups of more than {MAX_GROUP_BYTES >> 20} MiB"
            raise RowError("", f"{found}; write the file with row_group_size=100")
        self.ends = list(accumulate(group.num_rows for group in groups))
        self._forget()

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def row(self, number: int) -> Mapping[str, Any]:
        place = number - 1
        with self.lock, _damage_of_arrow():
            group = bisect_right(self.ends, place)
            if group != self.group or place < self.begin:
                self._begin(group)
            while place >= self.end:
                self.batch = next(self.batches, None)
                if self.batch is None:
                    self._forget()
                    raise RowError("", "the file is damaged: it holds fewer rows than it says")
                self.begin, self.end = self.end, self.end + self.batch.num_rows
            return self.batch.slice(place - self.begin, 1).to_pylist()[0]

    def _begin(self, group: int) -> None:
        if self in self.begun:
            self.begun.remove(self)
        elif len(self.begun) >= GROUPS_HELD:
            self.begun.pop(0)._forget()
        self.begun.append(self)
        self.batches = self.file.iter_batches(ROWS_A_BATCH, row_groups=[group], use_threads=False)
        self.group, self.batch = group, None
        self.begin = self.end = self.ends[group - 1] if group else 0

    def _forget(self) -> None:
        """Give back the memory of the row group."""
        self.group, self.batches, self.batch = -1, iter(()), None
        self.begin = self.end = 0


class _ArrowRows:
    """Rows of an arrow file (as `datasets` saves them to disk), mapped into memory."""

    def __init__(self, path: Path):
        import pyarrow

        file = pyarrow.memory_map(os.fspath(path))
        before = pyarrow.total_allocated_bytes()
        self.batches = []
        for batch in _arrow_batches(file):
            self.batches.append(batch)
            if pyarrow.total_allocated_bytes() - before > MAX_COPIED_BYTES:
                advice = "save it without compression, or as parquet"
                raise RowError("", f"compressed arrow files are read only when small; {advice}")
        self.ends = list(accumulate(batch.num_rows for batch in self.batches))

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def row(self, number: int) -> Mapping[str, Any]:
        place = number - 1
        batch = bisect_right(self.ends, place)
        first = self.ends[batch - 1] if batch else 0
        with _damage_of_arrow():
            return self.batches[batch].slice(place - first, 1).to_pylist()[0]


def _arrow_batches(file: Any) -> Iterator[Any]:
    from pyarrow import ipc

    is_stream = file.read(6) != b"ARROW1"
    file.seek(0)
    if is_stream:
        yield from ipc.open_stream(file)
        return
    reader = ipc.open_file(file)
    for number in range(reader.num_record_batches):
        yield reader.get_batch(number)


@contextlib.contextmanager
def _damage_of_arrow() -> Iterator[None]:
    """Turns what pyarrow raises into a `RowError`."""
    try:
        import pyarrow
    except ImportError:
        raise RowError("", WITHOUT_PYARROW) from None
    try:
        yield
    except RowError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError, KeyError, UnicodeDecodeError) as error:
        first_line = str(error).split("\n")[0][:100]
        raise RowError("", f"the file is damaged and cannot be read ({first_line})") from None
