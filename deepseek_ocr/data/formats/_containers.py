"""Files that hold many rows: JSON arrays, JSON lines, CSV, parquet and arrow."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..folder import DatasetFolder
from ..json_files.allowance import Allowance
from ..json_files.rows import Row, first_character, read_array, read_lines
from ..pages.embedded import in_usual_case
from ..problems import Problem
from ._column_rows import read_columns
from ._csv_rows import read_csv
from ._placed import PlacedRow
from ._rows import USUAL_KEYS

LINES = (".jsonl", ".ndjson")
ARRAYS = (".json",)
LISTS = ARRAYS + LINES
SHEETS = (".csv", ".tsv")
COLUMNS = (".parquet", ".arrow")


def list_files(folder: DatasetFolder, suffixes: Sequence[str] = LISTS) -> list[str]:
    """The files that hold rows by their name, and if called `.json` by their first character."""
    return [
        file
        for file in folder.with_suffix(*suffixes)
        if not file.lower().endswith(ARRAYS) or file in folder.arrays
    ]


def rows_of(
    folder: DatasetFolder, file: str, allowance: Allowance | None = None
) -> Iterator[Row | Problem]:
    """The rows of one file, in their order; of text as far as an allowance lets it be read."""
    path, name = folder.path(file), file.lower()
    if name.endswith(SHEETS):
        yield from read_csv(path, file, allowance=allowance)
    elif name.endswith(COLUMNS):
        yield from map(_in_usual_case, read_columns(path, file))
    elif name.endswith(LINES) and not _begins_with_bracket(path):
        yield from map(_in_usual_case, read_lines(path, file, allowance=allowance))
    else:
        for index, row in enumerate(read_array(path, file, allowance=allowance), 1):
            if isinstance(row, Row):
                row = PlacedRow(row.line, row.value, row.number, f"row={index}")
            yield _in_usual_case(row)


def _in_usual_case(row: Row | Problem) -> Row | Problem:
    if isinstance(row, Problem):
        return row
    value = in_usual_case(row.value, USUAL_KEYS)
    return row if value is row.value else dataclasses.replace(row, value=dict(value))


def _begins_with_bracket(path: Path) -> bool:
    try:
        return first_character(path) == "["
    except OSError:  # reading it will tell the reason
        return False
