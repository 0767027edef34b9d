"""Rows of a CSV file whose first row names the columns.

The delimiter is the comma, semicolon, tab or bar that makes most columns of the first line. Cells
may be quoted and hold line ends; those of Windows become plain ones. An empty cell is null. Cells
of `JSON_COLUMNS` may hold JSON.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ..json_files.allowance import Allowance
from ..json_files.rows import (
    ENCODING_ADVICE,
    LENGTH_ADVICE,
    MAX_ROW_BYTES,
    NOT_UTF8,
    TOO_LONG,
    Row,
    opened,
    unreadable,
)
from ..json_files.strict import RowError, decode_whole
from ..problems import CutShort, Problem
from ._placed import PlacedRow

BAD_CSV = "not valid CSV"
DELIMITERS = ",;\t|"
JSON_COLUMNS = frozenset(
    ("images", "image", "regions", "messages", "conversations", "conversation", "objects")
)


def read_csv(
    path: Path, name: str, *, allowance: Allowance | None = None
) -> Iterator[Row | Problem]:
    """The rows of a file, each with the line it begins at; `name` is what problems call the file.

    After a quote that is never closed nothing more can be told apart: it is the last problem.
    """
    csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW_BYTES))  # one for the whole process
    try:
        with opened(path, allowance) as file:
            lines = _Lines(file)
            try:
                yield from _rows(lines, name, _is_tsv(path))
            except RowError as error:
                source = f"{name}:{lines.begun}"
                yield CutShort(kind=error.kind, source=source, reason=error.reason)
    except OSError as error:
        yield unreadable(name, error)


def columns_of(path: Path) -> list[str]:
    """The names of the columns; none where they cannot be read, which `read_csv` tells."""
    try:
        with opened(path) as file:
            return _header(_Lines(file), _is_tsv(path))[0]
    except (OSError, RowError):
        return []


class _Lines:
    """The lines of a file for `csv.reader`; `begun` is the line at which the row begins.

    Bytes that are not UTF-8 become lone surrogates, so that only their row is lost.
    """

    def __init__(self, file: IO[bytes]):
        self.file = file
        self.number, self.begun, self.size = 0, 1, 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self.file.readline(MAX_ROW_BYTES + 1)
        if not line:
            raise StopIteration
        self.number += 1
        self.size += len(line)
        if self.size > MAX_ROW_BYTES:
            raise RowError(TOO_LONG, f"{LENGTH_ADVICE}, or close the quote that is left open")
        encoding = "utf-8-sig" if self.number == 1 else "utf-8"
        return line.decode(encoding, "surrogateescape")

    def begin_row(self) -> None:
        self.begun, self.size = self.number + 1, 0


def _rows(lines: _Lines, name: str, is_tsv: bool) -> Iterator[Row | Problem]:
    columns, delimiter = _header(lines, is_tsv)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.begin_row()
        source = f"{name}:{lines.begun}"
        try:
            cells = next(reader, None)
        except csv.Error as error:
            if "unexpected end" in str(error):
                raise RowError(BAD_CSV, "a quote is opened and never closed") from None
            yield Problem(kind=BAD_CSV, source=source, reason=f"not valid CSV ({error})")
            continue
        if cells is None:
            return
        if cells:
            yield _row(cells, columns, lines.begun, source)


def _is_tsv(path: Path) -> bool:
    return path.suffix.lower() == ".tsv"


def _header(lines: _Lines, is_tsv: bool) -> tuple[list[str], str]:
    """The columns that the first line names, and what stands between its cells."""
    first = next(lines, "")
    delimiter = "\t" if is_tsv else _delimiter(first)
    return _columns(_cells(first, delimiter)), delimiter


def _delimiter(line: str) -> str:
    return max(DELIMITERS, key=lambda delimiter: len(_cells(line, delimiter)))


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def _columns(cells: list[str]) -> list[str]:
    """The names of the columns; known ones may be written in capitals."""
    columns = [cell.strip() for cell in cells]
    lowered = [column.lower() for column in columns]
    if len(set(lowered)) == len(lowered):
        columns = lowered
    twice = [column for column, count in Counter(columns).items() if column and count > 1]
    if twice:
        raise RowError(BAD_CSV, f"the column {twice[0]!r} is there twice; keep one")
    if any("\ud800" <= character <= "\udfff" for column in columns for character in column):
        raise RowError(NOT_UTF8, ENCODING_ADVICE)
    return columns


def _row(cells: list[str], columns: list[str], line: int, source: str) -> Row | Problem:
    if any(cells[len(columns) :]) or len(cells) < len(columns):
        reason = (
            f"{len(cells)} cells in a table of {len(columns)} columns; "
            "put quotes around a cell that holds the delimiter"
        )
        return Problem(kind=BAD_CSV, source=source, reason=reason)
    for cell in cells:
        if not cell.isascii() and any("\ud800" <= character <= "\udfff" for character in cell):
            return Problem(kind=NOT_UTF8, source=source, reason=ENCODING_ADVICE)
        if "\0" in cell:
            reason = "a null character in a cell; remove it"
            return Problem(kind=BAD_CSV, source=source, reason=reason)
    named = zip(columns, cells, strict=False)  # cells beyond the columns are empty
    value = {column: cell_value(column, cell) for column, cell in named if column}
    return PlacedRow(line, value)


def cell_value(column: str, cell: str) -> Any:
    """What a cell of a named column means: null, a string, or the value of its JSON."""
    if not cell:
        return None
    if column in JSON_COLUMNS and cell.lstrip()[:1] in ("[", "{"):
        try:
            return decode_whole(cell)
        except RowError:
            pass  # a path may begin with a bracket; else what uses the value tells what it expects
    return cell.replace("\r\n", "\n")  # the table's own line ends, which editors put there
