"""ms-swift's `objects`: what `<ref-object>` and `<bbox>` in the texts of a row stand for.

In the texts they become the model's own words: `<|ref|>title<|/ref|>` at once, and
`<|det|>[[x1, y1, x2, y2]]<|/det|>` when the sizes of the pages are known (`grounding`).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from ..annotations import BoxFrame, Region
from ..json_files.strict import json_type
from ..truth.grounding import BOX_MARK
from ._rows import Boxes
from ._unusable import Unusable

REF_MARK = "<ref-object>"

_FRAMES: dict[str, BoxFrame] = {"real": "pixels", "norm1": "shares"}

Box = tuple[float, float, float, float]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Objects:
    """`refs` and `boxes` in the order in which the texts name them; `images` tells the picture of
    each box (from 0)."""

    refs: tuple[str, ...]
    boxes: tuple[Box, ...]
    frame: BoxFrame
    images: tuple[int, ...]


def objects_in(value: Mapping[str, Any]) -> Objects | None:
    """The objects of a row; None without any.

    Raises:
        Unusable: they are no lists of names and of boxes.
    """
    objects = value.get("objects")
    if not objects:
        return None
    if not isinstance(objects, dict):
        raise _unusable(f"'objects' is {json_type(objects)}; expected an object")
    refs, boxes = (_list(objects, key) for key in ("ref", "bbox"))
    if not all(isinstance(ref, str) for ref in refs):
        raise _unusable("'ref' of 'objects': expected a list of strings")
    kind = objects.get("bbox_type") or "real"
    if not isinstance(kind, str) or kind not in _FRAMES:
        raise _unusable(f"'bbox_type' is {kind!r}; expected 'real' (pixels) or 'norm1' (shares)")
    images = [number or 0 for number in _list(objects, "image_id")] or [0] * len(boxes)
    if len(images) != len(boxes) or not all(type(number) is int for number in images):
        raise _unusable("'image_id' of 'objects': expected the number of a picture for each box")
    return Objects(
        refs=tuple(refs),
        boxes=tuple(_box(box) for box in boxes),
        frame=_FRAMES[kind],
        images=tuple(images),
    )


def regions_of_objects(objects: Objects) -> Boxes:
    """A region for each box: of its own name, or of the only one."""
    refs, boxes = objects.refs, objects.boxes
    labels = refs if len(refs) == len(boxes) else refs * len(boxes) if len(refs) == 1 else ()
    return Boxes(
        tuple(
            Region(label=labels[number] if labels else "", box=box, image=objects.images[number])
            for number, box in enumerate(boxes)
        ),
        objects.frame,
    )


def with_names(prompt: str, text: str, objects: Objects) -> tuple[str, str]:
    """Prompt and text with each `<ref-object>` written out, in their order; each `<bbox>` stays.

    Raises:
        Unusable: there are more of the one or of the other than objects.
    """
    refs = iter(objects.refs)

    def named(_: re.Match[str]) -> str:
        ref = next(refs, None)
        if ref is None:
            raise _unusable(f"more {REF_MARK} in the texts than names under 'ref' of 'objects'")
        return f"<|ref|>{ref}<|/ref|>"

    if prompt.count(BOX_MARK) + text.count(BOX_MARK) > len(objects.boxes):
        raise _unusable(f"more {BOX_MARK} in the texts than boxes under 'bbox' of 'objects'")
    return re.sub(REF_MARK, named, prompt), re.sub(REF_MARK, named, text)


def _box(box: Any) -> Box:
    if (
        not isinstance(box, list)
        or len(box) != 4
        or not all(type(side) in (int, float) and abs(side) < 1e9 for side in box)
    ):
        raise _unusable("a box of 'objects': expected four numbers [x1, y1, x2, y2]")
    x1, y1, x2, y2 = box
    if x1 > x2 or y1 > y2:
        reason = f"{box} ends before it begins; expected x1 <= x2, y1 <= y2"
        raise _unusable(f"a box of 'objects': {reason}")
    return x1, y1, x2, y2


def _list(objects: Mapping[str, Any], key: str) -> list[Any]:
    found = objects.get(key)
    if found is None:
        return []
    if not isinstance(found, list):
        raise _unusable(f"{key!r} of 'objects' is {json_type(found)}; expected a list")
    return found


def _unusable(reason: str) -> Unusable:
    return Unusable("region", reason)
