"""`unsloth`: messages that hold their pictures, with the roles of DeepSeek-OCR.

`{"messages": [{"role": "<|User|>", "content": "<image>\\nFree OCR. ", "images": ["a.png"]},
{"role": "<|Assistant|>", "content": "..."}]}`. A picture is a path, or `{"bytes": base64}`.
https://docs.unsloth.ai
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
from ._shapes import detect_shape, holds_turns, parts_of, read_shape

NAME = "unsloth"
SUFFIXES = LISTS
MARKS = frozenset({"messages"})


def is_row(value: Mapping[str, Any]) -> bool:
    turns = value.get("messages")
    if not holds_turns(turns, "role") or any(True for _ in parts_of(turns)):
        return False
    return any(
        isinstance(turn, dict) and ("images" in turn or str(turn.get("role"))[:2] == "<|")
        for turn in turns or ()
    )


def detect(folder: DatasetFolder) -> Detection | None:
    return detect_shape(folder, is_row)


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """A sample a conversation of one question and one answer."""
    return read_shape(folder, is_row, convert)


def convert(row: Row, file: str, folder: DatasetFolder) -> Iterable[Annotation | Problem]:
    return annotation_of(row, file, folder, find_truth=turns_truth, find_pictures=pictures_if_any)
