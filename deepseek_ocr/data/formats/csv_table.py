"""`csv`: a table with named columns: `image,text`; several pictures as JSON: `"[""a.png"", ...]"`.

Comma, semicolon, tab or bar between the cells; a cell with line ends stands in quotes.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..annotations import Annotation
from ..folder import DatasetFolder
from ..pages.embedded import PICTURE_KEYS
from ..problems import Problem
from ._containers import SHEETS, list_files
from ._csv_rows import columns_of
from ._detection import Detection
from ._generic import GENERIC_SCORE, convert, may_hold_samples, names_pictures
from ._lists import read_rows
from ._row_pictures import clipped
from ._rows import TEXT_KEYS
from ._shapes import detect_shape

NAME = "csv"
SUFFIXES = SHEETS
LAST_RESORT = 0.004  # below that of JSON


def detect(folder: DatasetFolder) -> Detection | None:
    files = list_files(folder, SUFFIXES)
    found = detect_shape(folder, names_pictures, files=files, score=GENERIC_SCORE)
    if found is None and files:
        reason = f"{files[0]} may hold rows, though none of the first names a picture"
        return Detection(score=LAST_RESORT, reason=reason)  # so that reading it says what is wrong
    return found


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """All tables in the folder, in the order of their names; those without a known column last."""
    files = list_files(folder, SUFFIXES)
    strange = [problem for file in files if (problem := _strange_columns(folder, file))]
    unread = {problem.source.rpartition(":")[0] for problem in strange}
    if len(unread) < len(files):
        left = [file for file in files if file not in unread]
        yield from read_rows(folder, convert, files=left)
    yield from strange


def _strange_columns(folder: DatasetFolder, file: str) -> Problem | None:
    """The problem of a table whose first line names nothing that is known."""
    columns = columns_of(folder.path(file))
    if not columns or may_hold_samples(columns):
        return None
    shown = ", ".join(repr(clipped(column)) for column in columns[:8])
    reason = (
        f"the first line must name the columns; found {shown}; expected one for the picture "
        f"({', '.join(PICTURE_KEYS)}) and one for the text ({', '.join(TEXT_KEYS)})"
    )
    return Problem(kind="unknown columns", source=f"{file}:1", reason=reason)
