"""`alpaca`: `{"instruction": "...", "input": "...", "output": "...", "images": ["a.png"]}`.

The prompt is the instruction and, on the next line, the input, as LLaMA-Factory and ms-swift join
them; what `system` says stands in front. https://github.com/tatsu-lab/stanford_alpaca
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
from ._rows import Truth, annotation_of, pictures_if_any
from ._shapes import detect_shape, read_shape
from ._turns import refuse_history, string_or_nothing, system_prompt, with_system
from ._unusable import Unusable

NAME = "alpaca"
SUFFIXES = LISTS
MARKS = frozenset({"instruction"})


def is_row(value: Mapping[str, Any]) -> bool:
    return "instruction" in value and "output" in value and value.get("messages") is None


def detect(folder: DatasetFolder) -> Detection | None:
    return detect_shape(folder, is_row)


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """A sample a row; a row with a `history` is a longer conversation, and refused."""
    return read_shape(folder, is_row, convert)


def convert(row: Row, file: str, folder: DatasetFolder) -> Iterable[Annotation | Problem]:
    return annotation_of(row, file, folder, find_truth=_truth, find_pictures=pictures_if_any)


def _truth(value: Mapping[str, Any]) -> Truth:
    refuse_history(value)
    instruction, given = (string_or_nothing(value, key) for key in ("instruction", "input"))
    question = "\n".join(text for text in (instruction, given) if text)
    answer = string_or_nothing(value, "output")
    if answer is None:
        raise Unusable("no text", "'output' is null; expected a string")
    return Truth(with_system([system_prompt(value)], question), answer)
