"""`sharegpt`: `{"images": ["a.png"], "conversations": [{"from": "human", "value": ...}, ...]}`.

ms-swift's own variant has both turns in one object: `{"conversation": [{"human": "<image>Read.",
"assistant": "..."}]}`. A `system` text stands in front of the question.
https://llamafactory.readthedocs.io
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
from ._rows import annotation_of, pictures_if_any, turns_truth
from ._shapes import detect_shape, holds_turns, read_shape

NAME = "sharegpt"
SUFFIXES = LISTS
MARKS = frozenset({"conversations", "conversation"})


def is_row(value: Mapping[str, Any]) -> bool:
    if holds_turns(value.get("conversation"), "from", "human", "user", "assistant"):
        return True
    turns = holds_turns(value.get("conversations"), "from", "human", "assistant")
    return turns and (value.get("images") is not None or value.get("image") is None)


def detect(folder: DatasetFolder) -> Detection | None:
    return detect_shape(folder, is_row)


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """A sample a conversation of one question and one answer."""
    return read_shape(folder, is_row, convert)


def convert(row: Row, file: str, folder: DatasetFolder) -> Iterable[Annotation | Problem]:
    return annotation_of(row, file, folder, find_truth=turns_truth, find_pictures=pictures_if_any)
