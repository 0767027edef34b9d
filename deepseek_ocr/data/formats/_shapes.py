"""What a reader of one shape of row has in common with the others."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..annotations import Annotation
from ..folder import DatasetFolder
from ..json_files.rows import Row
from ..problems import Problem
from ._containers import list_files
from ._detection import Detection
from ._generic import not_read, shape_of
from ._lists import EXACT_SCORE, Convert, IsRow, detect_rows, read_rows
from ._rows import TEXT_KEYS, annotation_of


def detect_shape(
    folder: DatasetFolder,
    is_row: IsRow,
    *,
    files: Sequence[str] | None = None,
    score: float = EXACT_SCORE,
) -> Detection | None:
    """`detect_rows`, which tells too which other rows are not read."""
    files = list_files(folder) if files is None else files
    found = detect_rows(folder, is_row, files=files, score=score)
    if found is None:
        return None
    return dataclasses.replace(found, reason=found.reason + not_read(folder, files))


def read_shape(
    folder: DatasetFolder, is_row: IsRow, convert: Convert, files: Sequence[str] | None = None
) -> Iterator[Annotation | Problem]:
    """The samples of lists whose rows mostly have one shape: rows of another are read as theirs."""

    def convert_any(row: Row, file: str, folder: DatasetFolder) -> Iterable[Annotation | Problem]:
        if is_row(row.value):
            return convert(row, file, folder)
        if shape := shape_of(row.value):
            return shape.convert(row, file, folder)
        usual = any(key in row.value for key in TEXT_KEYS)
        return (annotation_of if usual else convert)(row, file, folder)

    return read_rows(folder, convert_any, files=files)


def holds_turns(turns: Any, *keys: str) -> bool:
    """Whether a value is a list of objects, the first of which has one of `keys`."""
    if not isinstance(turns, list) or not turns or not isinstance(turns[0], dict):
        return False
    return any(key in turns[0] for key in keys)


def parts_of(turns: Any) -> Iterator[Mapping[str, Any]]:
    """The parts of all contents that are lists."""
    for turn in turns if isinstance(turns, list) else ():
        content = turn.get("content") if isinstance(turn, dict) else None
        for part in content if isinstance(content, list) else ():
            if isinstance(part, dict):
                yield part
