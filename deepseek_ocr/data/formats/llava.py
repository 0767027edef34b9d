"""`llava`: `{"image": "a.png", "conversations": [{"from": "human", "value": ...}, ...]}`.

`image` may be a list, or, as in GOT, a folder of page pictures: one `<image>` then stands for all.
https://github.com/haotian-liu/LLaVA, https://github.com/Ucas-HaoranWei/GOT-OCR2.0
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..annotations import IMAGE_TOKEN, Annotation
from ..folder import DatasetFolder
from ..json_files.rows import Row
from ..problems import Problem
from ._containers import LISTS
from ._detection import Detection
from ._row_pictures import folder_of_pictures
from ._rows import annotation_of, pictures_if_any, turns_truth
from ._shapes import detect_shape, holds_turns, read_shape

NAME = "llava"
SUFFIXES = LISTS
MARKS = frozenset({"conversations"})


def is_row(value: Mapping[str, Any]) -> bool:
    turns = holds_turns(value.get("conversations"), "from")
    return turns and value.get("image") is not None and value.get("images") is None


def detect(folder: DatasetFolder) -> Detection | None:
    return detect_shape(folder, is_row)


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """A sample a conversation of one question and one answer."""
    return read_shape(folder, is_row, convert)


def convert(row: Row, file: str, folder: DatasetFolder) -> Iterable[Annotation | Problem]:
    pages = _pages(row.value.get("image"), file, folder)
    if not pages:
        return annotation_of(
            row, file, folder, find_truth=turns_truth, find_pictures=pictures_if_any
        )
    found = annotation_of(row, file, folder, find_truth=turns_truth, find_pictures=lambda *_: pages)
    return [_with_marks(sample) for sample in found]


def _pages(written: Any, file: str, folder: DatasetFolder) -> tuple[str, ...]:
    if not isinstance(written, str) or written in folder.names or not written:
        return ()
    return folder_of_pictures(written, file, folder)


def _with_marks(sample: Annotation | Problem) -> Annotation | Problem:
    """With an `<image>` for each page where one stands for the folder."""
    if isinstance(sample, Problem) or sample.prompt.count(IMAGE_TOKEN) != 1:
        return sample
    prompt = sample.prompt.replace(IMAGE_TOKEN, IMAGE_TOKEN * len(sample.images))
    return dataclasses.replace(sample, prompt=prompt)
