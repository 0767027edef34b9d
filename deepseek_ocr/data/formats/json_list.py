"""`json`: one file with a JSON array, an object a sample: `[{"image": ..., "text": ...}, ...]`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..annotations import Annotation
from ..folder import DatasetFolder
from ..json_rows import first_character, read_array
from ..problems import Problem
from ._detection import Detection
from ._lists import detect_lists, read_lists

NAME = "json"


def detect(folder: DatasetFolder) -> Detection | None:
    return detect_lists(folder, _arrays(folder), read_array)


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """All arrays in the folder, in the order of their names."""
    return read_lists(folder, _arrays(folder) or folder.with_suffix(".json"), read_array)


def _arrays(folder: DatasetFolder) -> list[str]:
    return [file for file in folder.with_suffix(".json") if _may_hold_an_array(folder.path(file))]


def _may_hold_an_array(path: Path) -> bool:
    try:
        return first_character(path) == "["
    except OSError:  # reading it will tell the reason
        return True
