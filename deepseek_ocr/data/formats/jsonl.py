"""`jsonl`: a file with one JSON object a line, each a sample: `{"image": ..., "text": ...}`."""

from __future__ import annotations

from collections.abc import Iterator

from ..annotations import Annotation
from ..folder import DatasetFolder
from ..problems import Problem
from ._containers import LINES
from ._detection import Detection
from ._generic import convert, detect_usual_rows
from ._lists import read_rows

NAME = "jsonl"
SUFFIXES = LINES


def detect(folder: DatasetFolder) -> Detection | None:
    return detect_usual_rows(folder, SUFFIXES)


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """All such files in the folder, in the order of their names."""
    return read_rows(folder, convert, suffixes=SUFFIXES)
