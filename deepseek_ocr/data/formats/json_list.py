"""`json`: one file with a JSON array, an object a sample: `[{"image": ..., "text": ...}, ...]`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from ..annotations import Annotation
from ..folder import DatasetFolder
from ..json_files.allowance import Allowance
from ..json_files.rows import Row, read_lines
from ..problems import Problem
from ._containers import ARRAYS, list_files
from ._detection import Detection
from ._first_rows import FILE_BYTES, LOOKED_AT, first_rows
from ._generic import convert, detect_usual_rows, names_pictures
from ._lists import read_rows

NAME = "json"
SUFFIXES = ARRAYS


def detect(folder: DatasetFolder) -> Detection | None:
    if not list_files(folder, SUFFIXES) and (lines := _objects_on_lines(folder)):
        reason = f"{lines} holds objects"  # chosen if nothing else is found,
        return Detection(score=0.005, reason=reason)  # so that reading it says what is expected
    return detect_usual_rows(folder, SUFFIXES)


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """All arrays in the folder, in the order of their names."""
    files = list_files(folder, SUFFIXES) or folder.with_suffix(*SUFFIXES)
    return read_rows(folder, convert, files=files)


def _objects_on_lines(folder: DatasetFolder) -> str | None:
    """The first file that is JSONL but for its name."""
    for file in folder.with_suffix(*SUFFIXES)[:LOOKED_AT]:
        rows = first_rows(folder, file)
        if not isinstance(rows[0], Row):
            allowance = Allowance(FILE_BYTES)
            rows = list(islice(read_lines(folder.path(file), file, allowance=allowance), 2))
        if rows and all(isinstance(row, Row) and names_pictures(row.value) for row in rows):
            return file
    return None
