"""`jsonl`: a file with one JSON object a line, each a sample: `{"image": ..., "text": ...}`."""

from __future__ import annotations

from collections.abc import Iterator

from ..annotations import Annotation
from ..folder import DatasetFolder
from ..json_rows import read_lines
from ..problems import Problem
from ._detection import Detection
from ._lists import detect_lists, read_lists

NAME = "jsonl"
SUFFIXES = (".jsonl", ".ndjson")


def detect(folder: DatasetFolder) -> Detection | None:
    return detect_lists(folder, folder.with_suffix(*SUFFIXES), read_lines)


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """All such files in the folder, in the order of their names."""
    return read_lists(folder, folder.with_suffix(*SUFFIXES), read_lines)
