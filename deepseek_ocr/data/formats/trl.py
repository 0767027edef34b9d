"""`trl`: messages whose contents are lists of parts, with the pictures in a column `images`.

`{"images": ["a.png"], "messages": [{"role": "user", "content": [{"type": "image"}, {"type": "text",
"text": "OCR"}]}, ...]}`; or the turns of the question under `prompt` and the answer's under
`completion`. https://huggingface.co/docs/trl/dataset_formats
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..annotations import Annotation
from ..folder import DatasetFolder
from ..json_files.rows import Row
from ..problems import Problem
from . import openai
from ._containers import LISTS
from ._detection import Detection
from ._rows import Truth, annotation_of, pictures_if_any, turns_truth
from ._shapes import detect_shape, holds_turns, parts_of, read_shape
from ._turns import question_and_answer

NAME = "trl"
SUFFIXES = LISTS
MARKS = frozenset({"messages", "completion"})


def is_row(value: Mapping[str, Any]) -> bool:
    if _is_prompt_and_completion(value):
        return True
    parts = list(parts_of(value.get("messages")))
    return bool(parts) and not openai.is_row(value)


def detect(folder: DatasetFolder) -> Detection | None:
    return detect_shape(folder, is_row)


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """A sample a conversation of one question and one answer."""
    return read_shape(folder, is_row, convert)


def convert(row: Row, file: str, folder: DatasetFolder) -> Iterable[Annotation | Problem]:
    return annotation_of(row, file, folder, find_truth=_truth, find_pictures=pictures_if_any)


def _is_prompt_and_completion(value: Mapping[str, Any]) -> bool:
    return all(holds_turns(value.get(key), "role") for key in ("prompt", "completion"))


def _truth(value: Mapping[str, Any]) -> Truth:
    if _is_prompt_and_completion(value):
        return Truth(*question_and_answer(value, [*value["prompt"], *value["completion"]]))
    return turns_truth(value)
