"""What another tool's shape cannot hold of an annotation: kept beside it, and read back.

An exported row has a key `_deepseek_ocr` then: a string with a JSON object of those fields
(`{"lang": "de", "group": "letter 4"}`). A string, because tools that make columns of all rows
would stumble over objects of different keys; they leave the column alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ...errors import PageError
from ..annotations import Annotation, regions_from, weight_from
from ..json_files.strict import RowError, as_object, decode_whole, json_type
from ..pages.references import parse_reference
from ._unusable import Unusable

KEPT_KEY = "_deepseek_ocr"
FIELDS = ("id", "images", "prompt", "text", "regions", "group", "lang", "weight")


def kept_fields(annotation: Annotation, read_back: Annotation | None) -> str | None:
    """The fields in which what will be read back differs, as the value of `_deepseek_ocr`."""
    whole = annotation.to_json()
    differing = {
        field: whole.get(field)
        for field in FIELDS
        if read_back is None or getattr(annotation, field) != getattr(read_back, field)
    }
    return json.dumps(differing, ensure_ascii=False) if differing else None


def fields_kept_in(value: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that a row keeps under `_deepseek_ocr`, as an annotation has them.

    Raises:
        Unusable: they are none.
    """
    written = value.get(KEPT_KEY)
    if written is None:
        return {}
    try:
        if not isinstance(written, str):
            raise ValueError(f"expected a string, found {json_type(written)}")
        kept = as_object(decode_whole(written), 0)
        return {key: _field(key, member) for key, member in kept.items()}
    except (RowError, ValueError, PageError) as error:
        reason = error.reason if isinstance(error, RowError) else str(error)
        raise Unusable("bad value", f"{KEPT_KEY!r}: {reason}") from None


def _field(key: str, member: Any) -> Any:
    """A field as an annotation has it."""
    if key == "regions":
        return regions_from(member or [])
    if key == "weight":
        return weight_from(member)
    if key == "images":
        if not isinstance(member, list) or not all(isinstance(image, str) for image in member):
            raise ValueError("'images': expected a list of strings")
        return tuple(str(parse_reference(image)) for image in member)
    if key not in FIELDS:
        raise ValueError(f"unknown field {key!r}; known: {', '.join(FIELDS)}")
    if not isinstance(member, str) and not (member is None and key in ("group", "lang")):
        raise ValueError(f"{key!r}: expected a string, found {json_type(member)}")
    return member
