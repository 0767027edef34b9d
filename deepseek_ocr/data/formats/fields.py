"""`fields`: a PDF or picture with a JSON file of what is to be read from it, in keys of its own.

`{"invoice_number": "F-12", "amount": 29.99, "lines": [{"item": "A", "price": 2}]}`, alone or as the
one element of a list (as invoice2data writes it), or below `gt_parse`. The text is this JSON.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from ..annotations import Annotation
from ..folder import DatasetFolder
from ..json_files.numbers import json_text
from ..json_files.rows import Row
from ..pages.embedded import TURN_KEYS
from ..problems import Problem
from ..truth.structures import Fields
from ._detection import Detection
from ._json_pairs import SUFFIXES, bad_value, detect_pairs, read_pairs
from ._rows import IMAGE_KEYS, TEXT_KEYS

__all__ = ["NAME", "SUFFIXES", "detect", "read"]

NAME = "fields"
FEWEST_FIELDS = 2  # an object of a single key is rather a text with a misspelt name

_OTHER_SHAPES = frozenset(
    [
        "regions",
        "form",
        "valid_line",
        "polygons",
        "shapes",
        "annotations",
        "categories",
        "layout_dets",
        "page_info",
    ]
)
"""Keys of annotations of pictures: what is below them is not what the picture says."""


def detect(folder: DatasetFolder) -> Detection | None:
    return detect_pairs(folder, _is_fields, score=0.95)


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """One sample a JSON file, of all pages of its PDF."""
    return read_pairs(folder, _convert)


def _is_fields(value: Any) -> bool:
    if isinstance(value.get("gt_parse"), dict | list):
        return True
    known = {*TEXT_KEYS, *IMAGE_KEYS, *TURN_KEYS, *_OTHER_SHAPES}
    if len(value) < FEWEST_FIELDS or not known.isdisjoint(value):
        return False
    return not any(difflib.get_close_matches(key.lower(), ("text",), 1, 0.75) for key in value)


def _convert(row: Row, file: str, images: tuple[str, ...]) -> Iterator[Annotation | Problem]:
    value = row.value.get("gt_parse", row.value)
    if not value or not isinstance(value, dict | list):
        yield bad_value(file, row, "no fields; expected keys and values", kind="empty text")
        return
    yield Annotation(
        id="",
        images=images,
        prompt="",
        text=json_text(value),
        source=f"{file}:{row.place}",
        structure=(Fields(value=value),),
    )
