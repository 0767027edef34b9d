"""`json`: one file with a JSON array, an object a sample: `[{"image": ..., "text": ...}, ...]`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from ..annotations import Annotation
from ..folder import DatasetFolder
from ..json_rows import Row, first_character, read_array, read_lines
from ..problems import Problem
from ._detection import Detection
from ._lists import LOOKED_AT, detect_lists, read_lists
from ._rows import image_paths

NAME = "json"
SUFFIXES = (".json",)


def detect(folder: DatasetFolder) -> Detection | None:
    arrays = _arrays(folder)
    if not arrays and (lines := _objects_on_lines(folder)):  # chosen if nothing else is found,
        reason = f"{lines} holds objects"  # so that reading it says what is expected
        return Detection(score=0.005, reason=reason)
    return detect_lists(folder, arrays, read_array)


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """All arrays in the folder, in the order of their names."""
    return read_lists(folder, _arrays(folder) or folder.with_suffix(".json"), read_array)


def _arrays(folder: DatasetFolder) -> list[str]:
    return [file for file in folder.with_suffix(".json") if _may_hold_an_array(folder.path(file))]


def _objects_on_lines(folder: DatasetFolder) -> str | None:
    """The first file that is JSONL but for its name."""
    for file in folder.with_suffix(*SUFFIXES)[:LOOKED_AT]:
        rows = list(islice(read_lines(folder.path(file), file), 2))
        if rows and all(isinstance(row, Row) and image_paths(row.value) for row in rows):
            return file
    return None


def _may_hold_an_array(path: Path) -> bool:
    try:
        return first_character(path) == "["
    except OSError:  # reading it will tell the reason
        return True
