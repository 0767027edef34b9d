"""`swift`: ms-swift's messages and its query and response, with boxes under `objects`.

`{"messages": [{"role": "user", "content": "<image>Read."}, {"role": "assistant", "content":
"..."}], "images": ["a.png"]}`, or `{"query": ..., "response": ..., "images": ["a.png"]}`.
With `"objects": {"ref": ["title"], "bbox": [[x1, y1, x2, y2]], "bbox_type": "real"}` the texts hold
`<ref-object>` and `<bbox>`, which stand for the objects one after another. A box is in pixels
(`real`) or in shares of the page's sides (`norm1`); `image_id` says which picture it lies on.
https://swift.readthedocs.io/en/latest/Customization/Custom-dataset.html
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..annotations import Annotation
from ..folder import DatasetFolder
from ..json_files.rows import Row
from ..json_files.strict import json_type
from ..problems import Problem
from ..truth.grounding import BOX_MARK
from . import unsloth
from ._containers import LISTS
from ._detection import Detection
from ._objects import objects_in, regions_of_objects, with_names
from ._rows import Boxes, Truth, annotation_of, pictures_if_any, turns_truth, usual_regions
from ._shapes import detect_shape, holds_turns, parts_of, read_shape
from ._turns import refuse_history, system_prompt, with_system
from ._unusable import Unusable

NAME = "swift"
SUFFIXES = LISTS

QUERIES = ("query", "prompt", "input", "instruction", "question", "problem")
RESPONSES = (
    "response",
    "answer",
    "output",
    "targets",
    "target",
    "answer_key",
    "answers",
    "solution",
    "text",
    "completion",
    "content",
)

_NOT_USUAL = frozenset(  # aliases that are no usual keys
    ("input", "problem", "targets", "answer_key", "answers", "solution", "completion", "content")
)
_OTHER_SHAPES = ("messages", "conversations", "conversation", "text_info", "ground_truth")
MARKS = _NOT_USUAL | {"messages", "query", "objects"}


def is_row(value: Mapping[str, Any]) -> bool:
    turns = value.get("messages")
    if holds_turns(turns, "role"):
        return not any(True for _ in parts_of(turns)) and not unsloth.is_row(value)
    others = any(value.get(key) is not None for key in _OTHER_SHAPES)
    if others or {"instruction", "output"} <= value.keys():
        return False
    if isinstance(value.get("prompt"), list):  # turns of TRL
        return False
    if "query" in value and "response" in value:
        return True
    queries, responses = (_present(value, keys) for keys in (QUERIES, RESPONSES))
    pictures = "images" in value or "image" in value
    unusual = not _NOT_USUAL.isdisjoint((*queries, *responses)) or "objects" in value
    return bool(queries and responses) and pictures and unusual


def detect(folder: DatasetFolder) -> Detection | None:
    return detect_shape(folder, is_row)


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """A sample a conversation of one question and one answer."""
    return read_shape(folder, is_row, convert)


def convert(row: Row, file: str, folder: DatasetFolder) -> Iterable[Annotation | Problem]:
    found = annotation_of(
        row,
        file,
        folder,
        find_truth=_truth,
        find_regions=_regions,
        find_pictures=pictures_if_any,
    )
    return [_with_marks(sample) for sample in found] if row.value.get("objects") else found


def _with_marks(sample: Annotation | Problem) -> Annotation | Problem:
    """Told that a `<bbox>` in its texts stands for a box."""
    if isinstance(sample, Problem) or BOX_MARK not in sample.prompt + sample.text:
        return sample
    return dataclasses.replace(sample, has_box_marks=True)


def _present(value: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    return [key for key in keys if value.get(key) is not None]


def _truth(value: Mapping[str, Any]) -> Truth:
    if value.get("messages") is not None:
        truth = turns_truth(value)
    else:
        refuse_history(value)
        query, response = _only(value, QUERIES), _only(value, RESPONSES)
        if response is None:
            raise Unusable("no text", f"no 'response'; expected one of {', '.join(RESPONSES)}")
        before = [system_prompt(value)] if query else []
        truth = Truth(with_system(before, query or ""), response)
    objects = objects_in(value)
    return Truth(*with_names(truth.prompt or "", truth.text, objects)) if objects else truth


def _regions(value: Mapping[str, Any]) -> Boxes:
    objects = objects_in(value)
    return regions_of_objects(objects) if objects else usual_regions(value)


def _only(value: Mapping[str, Any], keys: Sequence[str]) -> str | None:
    """The string under the first of `keys`, the name of its own; others must not differ."""
    present = _present(value, keys)
    if keys[0] in present:
        present = [keys[0]]
    found = []
    for key in present:
        member = value[key]
        if isinstance(member, list) and len(member) == 1:  # a choice of one
            member = member[0]
        if not isinstance(member, str):
            raise Unusable("no text", f"{key!r} is {json_type(member)}; expected a string")
        found.append(member)
    if len(set(found)) > 1:
        named = " and ".join(map(repr, present))
        reason = f"{named} differ; call the one that is meant {keys[0]!r}"
        raise Unusable("ambiguous annotation", reason)
    return found[0] if found else None
