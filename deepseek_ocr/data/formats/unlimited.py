"""`unlimited`: rows of unlimited-ocr-finetune, with `image`, `mode`, `prompt`, `target`, `task`.

`{"id": "1", "image": "a.png", "mode": "gundam", "prompt": "<image>document parsing.", "target":
"...", "target_format": "markdown", "task": "parse", "meta": {...}}`, or `images`. Mode, format,
task and the plain values of `meta` become attributes, for `--stratify_by`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..annotations import Annotation
from ..folder import DatasetFolder
from ..json_files.rows import Row
from ..problems import Problem
from ._containers import LISTS
from ._detection import Detection
from ._rows import annotation_of, plain_values
from ._shapes import detect_shape, read_shape

NAME = "unlimited"
SUFFIXES = LISTS
MARKS = frozenset({"target"})

_MARKS = ("mode", "target_format", "task")


def is_row(value: Mapping[str, Any]) -> bool:
    pictures = "image" in value or "images" in value
    return "target" in value and pictures and any(key in value for key in _MARKS)


def detect(folder: DatasetFolder) -> Detection | None:
    return detect_shape(folder, is_row)


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """A sample a row."""
    return read_shape(folder, is_row, convert)


def convert(row: Row, file: str, folder: DatasetFolder) -> Iterable[Annotation | Problem]:
    meta = row.value.get("meta")
    found = annotation_of(row, file, folder)
    if not isinstance(meta, dict):
        return found
    return [
        dataclasses.replace(sample, attributes={**plain_values(meta), **sample.attributes})
        if isinstance(sample, Annotation)
        else sample
        for sample in found
    ]
