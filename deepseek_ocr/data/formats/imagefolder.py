"""`imagefolder`: pictures beside a `metadata.jsonl` or `metadata.csv`, as for Donut.

`{"file_name": "a.png", "text": "..."}`; or `"ground_truth"`, a string of JSON: `{"gt_parse":
{...}}` holds fields, or a page's text under `text_sequence`; of several `gt_parses` the first is
learned, and its `question` asked if it has one.
https://huggingface.co/docs/datasets/image_dataset, https://github.com/clovaai/donut
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeGuard

from ..annotations import Annotation
from ..folder import DatasetFolder
from ..json_files.numbers import json_text
from ..json_files.rows import Row
from ..json_files.strict import RowError, as_object, decode_whole, json_type
from ..pages.embedded import PICTURE_KEYS
from ..problems import Problem
from ..truth.structures import Fields
from ._containers import LINES, SHEETS
from ._detection import Detection
from ._row_pictures import pictures_of, reference_of
from ._rows import TEXT_KEYS, Truth, annotation_of, usual_pictures, usual_prompt, usual_truth
from ._shapes import detect_shape, read_shape
from ._unusable import Unusable

NAME = "imagefolder"
SUFFIXES = (*LINES, *SHEETS)
SCORE = 0.98
MARKS = frozenset({"file_name", "file_names", "ground_truth"})

_FILE_NAMES = ("metadata.jsonl", "metadata.csv")
_PARSES = ("gt_parse", "gt_parses")
_BEGIN_OF_PARSE = '"gt_parse'


def is_row(value: Mapping[str, Any]) -> bool:
    if _may_hold_parse(value.get("ground_truth")):
        return True
    return bool(_picture_columns(value)) and any(key in value for key in TEXT_KEYS)


def detect(folder: DatasetFolder) -> Detection | None:
    return detect_shape(folder, is_row, files=_files(folder), score=SCORE)


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """A sample a row of all metadata files."""
    return read_shape(folder, is_row, convert, files=_files(folder))


def convert(row: Row, file: str, folder: DatasetFolder) -> Iterable[Annotation | Problem]:
    return annotation_of(row, file, folder, find_truth=_truth, find_pictures=_pictures)


def _files(folder: DatasetFolder) -> list[str]:
    return [f for f in folder.with_suffix(*SUFFIXES) if posixpath.basename(f) in _FILE_NAMES]


def _picture_columns(value: Mapping[str, Any]) -> list[str]:
    """`file_name`, `file_names`, and columns such as `front_file_name`."""
    return [
        key
        for key, member in value.items()
        if key.endswith(("file_name", "file_names")) and member is not None
    ]


def _pictures(row: Row, file: str, folder: DatasetFolder) -> tuple[str, ...]:
    columns = _picture_columns(row.value)
    if not columns or columns == ["file_name"]:
        return usual_pictures(row, file, folder)
    if any(row.value.get(key) is not None for key in PICTURE_KEYS if key != "file_name"):
        return pictures_of(row, file, folder) or ()
    found: list[str] = []
    for column in columns:
        names = row.value[column]
        for name in names if isinstance(names, list) else [names]:
            if not isinstance(name, str):
                reason = f"{column!r} holds {json_type(name)}; expected names of files"
                raise Unusable("annotation without picture", reason)
            found.append(reference_of(name, file, folder))
    return tuple(found)


def _truth(value: Mapping[str, Any]) -> Truth:
    written = value.get("ground_truth")
    if not _may_hold_parse(written) or "text" in value:
        return usual_truth(value)
    try:
        truth = as_object(decode_whole(written, keep_numbers=True), 0)
    except RowError as error:
        raise Unusable("bad value", f"'ground_truth': {error.reason}") from None
    if not any(key in truth for key in _PARSES):
        return usual_truth(value)
    return _of_parse(_first_parse(truth), value)


def _may_hold_parse(written: Any) -> TypeGuard[str]:
    """Whether it looks like Donut's JSON, in which other keys may stand in front, as in CORD."""
    if not isinstance(written, str) or _BEGIN_OF_PARSE not in written:
        return False
    return written.lstrip().startswith("{")


def _first_parse(truth: Mapping[str, Any]) -> Any:
    if "gt_parse" in truth:
        return truth["gt_parse"]
    parses = truth.get("gt_parses")
    if not isinstance(parses, list) or not parses:
        reason = "'ground_truth': expected 'gt_parse', or 'gt_parses' with at least one member"
        raise Unusable("no text", reason)
    questions = {str(parse["question"]) for parse in parses if _is_answer(parse)}
    if len(questions) > 1:
        reason = f"'gt_parses' ask {len(questions)} questions; expected one a row"
        raise Unusable("conversation", reason)
    return parses[0]


def _of_parse(parse: Any, value: Mapping[str, Any]) -> Truth:
    prompt = usual_prompt(value)
    if _is_answer(parse):
        return Truth(prompt or parse["question"], parse["answer"])
    if isinstance(parse, dict) and list(parse) == ["text_sequence"]:
        text = parse["text_sequence"]
        if not isinstance(text, str):
            reason = f"'text_sequence' is {json_type(text)}; expected a string"
            raise Unusable("no text", reason)
        return Truth(prompt, text)
    if not isinstance(parse, dict | list):
        reason = f"'gt_parse' is {json_type(parse)}; expected an object"
        raise Unusable("no text", reason)
    return Truth(prompt, json_text(parse), (Fields(value=parse),))


def _is_answer(parse: Any) -> bool:
    return isinstance(parse, dict) and all(
        isinstance(parse.get(key), str) for key in ("question", "answer")
    )
