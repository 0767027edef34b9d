"""`nougat`: a page and its Markdown a line: `{"image": "a/01.png", "markdown": "..."}`.

https://github.com/facebookresearch/nougat
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..annotations import Annotation
from ..folder import DatasetFolder
from ..json_files.rows import Row
from ..problems import Problem
from ._containers import LISTS
from ._detection import Detection
from ._rows import annotation_of
from ._shapes import detect_shape, read_shape

NAME = "nougat"
SUFFIXES = LISTS
MARKS = frozenset({"markdown"})


def is_row(value: Mapping[str, Any]) -> bool:
    return "markdown" in value and isinstance(value.get("image"), str) and value.get("text") is None


def detect(folder: DatasetFolder) -> Detection | None:
    return detect_shape(folder, is_row)


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """A sample a row; what else a row tells of its page becomes attributes."""
    return read_shape(folder, is_row, convert)


def convert(row: Row, file: str, folder: DatasetFolder) -> Iterable[Annotation | Problem]:
    return annotation_of(row, file, folder)
