"""`openai`: messages whose contents are lists of parts, texts and `image_url`.

`{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": ...}},
{"type": "text", "text": "OCR"}]}, ...]}`. The address is a path, `file://...` or a data URL;
nothing is fetched. Pictures stand in front of the question, wherever their parts stand,
unless they are between texts: so have it the servers that the model answers through.
https://platform.openai.com/docs/guides/vision-fine-tuning
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
from ._shapes import detect_shape, parts_of, read_shape

NAME = "openai"
SUFFIXES = LISTS
MARKS = frozenset({"messages"})

_TYPES = frozenset({"image_url", "input_image"})


def is_row(value: Mapping[str, Any]) -> bool:
    types = [part.get("type") for part in parts_of(value.get("messages"))]
    return any(isinstance(kind, str) and kind in _TYPES for kind in types)


def detect(folder: DatasetFolder) -> Detection | None:
    return detect_shape(folder, is_row)


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """A sample a conversation of one question and one answer."""
    return read_shape(folder, is_row, convert)


def convert(row: Row, file: str, folder: DatasetFolder) -> Iterable[Annotation | Problem]:
    return annotation_of(row, file, folder, find_truth=turns_truth, find_pictures=pictures_if_any)
