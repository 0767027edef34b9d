"""`ernie`: ERNIEKit and PaddleOCR-VL: `{"image_info": [...], "text_info": [...]}`.

`{"image_info": [{"matched_text_index": 0, "image_url": "./a.png"}], "text_info": [{"text": "OCR:",
"tag": "mask"}, {"text": "...", "tag": "no_mask"}]}`: masked texts are the question, the others the
answer; a picture stands in front of the text of its index. Answers that are a table in OTSL or a
formula in `\\[ \\]` can become another target.
https://github.com/PaddlePaddle/ERNIE
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..annotations import IMAGE_TOKEN, Annotation
from ..folder import DatasetFolder
from ..json_files.rows import Row
from ..json_files.strict import json_type
from ..problems import Problem
from ..truth.otsl import parse_otsl
from ..truth.structures import Block, Formula
from ._containers import LISTS
from ._detection import Detection
from ._rows import Truth, annotation_of, pictures_if_any
from ._shapes import detect_shape, read_shape
from ._turns import CONVERSATION, string_or_nothing, system_prompt, with_system
from ._unusable import Unusable

NAME = "ernie"
SUFFIXES = LISTS

_FORMULA = re.compile(r"\\\[(?P<latex>(?:(?!\\\]).)*)\\\]", re.S)
MARKS = frozenset({"text_info"})


def is_row(value: Mapping[str, Any]) -> bool:
    return isinstance(value.get("text_info"), list) and "image_info" in value


def detect(folder: DatasetFolder) -> Detection | None:
    return detect_shape(folder, is_row)


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """A sample a row of masked texts, then others."""
    return read_shape(folder, is_row, convert)


def convert(row: Row, file: str, folder: DatasetFolder) -> Iterable[Annotation | Problem]:
    return annotation_of(row, file, folder, find_truth=_truth, find_pictures=pictures_if_any)


def _truth(value: Mapping[str, Any]) -> Truth:
    texts: list[str] = []
    answers: list[str] = []
    for part in value.get("text_info") or ():
        text, is_question = _part(part)
        if is_question and answers:
            raise Unusable(
                CONVERSATION,
                "a masked text after the answer; expected one question and one answer",
            )
        (texts if is_question else answers).append(text)
    if not answers:
        raise Unusable("no text", "every text is masked; expected one with the tag 'no_mask'")
    marks = _pictures_before(value.get("image_info"), len(texts))
    marked = [_marked(text, marks[number]) for number, text in enumerate(texts)]
    question = "".join(marked) or IMAGE_TOKEN * marks[0]
    text = "".join(answers)
    return Truth(with_system([system_prompt(value)], question), text, _structure(text))


def _structure(text: str) -> tuple[Block, ...]:
    """The table or the formula that the whole answer is."""
    if table := parse_otsl(text):
        return (table,)
    formula = _FORMULA.fullmatch(text.strip())
    return (Formula(latex=formula["latex"].strip()),) if formula else ()


def _part(part: Any) -> tuple[str, bool]:
    if not isinstance(part, dict):
        raise Unusable(CONVERSATION, f"'text_info' holds {json_type(part)}; expected objects")
    text, tag = string_or_nothing(part, "text"), part.get("tag", "mask")
    if text is None or tag not in ("mask", "no_mask"):
        reason = "a part of 'text_info': expected a 'text' and the tag 'mask' or 'no_mask'"
        raise Unusable(CONVERSATION, reason)
    return text, tag == "mask"


def _pictures_before(pictures: Any, num_texts: int) -> Counter[int]:
    """How many pictures stand in front of each text of the question."""
    found: Counter[int] = Counter()
    for picture in pictures if isinstance(pictures, list) else ():
        place = picture.get("matched_text_index", 0) if isinstance(picture, dict) else 0
        if not isinstance(place, int) or not 0 <= place < max(num_texts, 1):
            reason = (
                f"a picture in front of text {place!r}, which is no text of the question "
                f"('matched_text_index' counts from 0; the question has {num_texts})"
            )
            raise Unusable(CONVERSATION, reason)
        found[place] += 1
    return found


def _marked(text: str, num_pictures: int) -> str:
    """A text behind its pictures, on a line of its own as the model's prompts have it."""
    if not num_pictures or IMAGE_TOKEN in text:
        return text
    return IMAGE_TOKEN * num_pictures + ("" if text.startswith("\n") else "\n") + text
