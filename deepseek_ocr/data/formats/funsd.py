"""`funsd`: scanned forms, each with a JSON file of its entities: `{"form": [{"text", "box"}]}`.

An entity has a label (question, answer, header, other), words, and links to other entities; boxes
are [x1, y1, x2, y2] in pixels. The text of a form is that of its entities in reading order.
https://guillaumejaume.github.io/FUNSD/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..annotations import Annotation
from ..folder import DatasetFolder
from ..json_files.rows import Row
from ..problems import Problem
from ..truth.structures import Fields
from ._detection import Detection
from ._forms import Part, linked_fields, links_of
from ._json_pairs import SUFFIXES, bad_value, detect_pairs, read_pairs, text_in
from ._reading_order import reading_order, regions_of, straight_box, text_of

__all__ = ["NAME", "SUFFIXES", "detect", "read"]

NAME = "funsd"


def detect(folder: DatasetFolder) -> Detection | None:
    return detect_pairs(folder, _is_form, score=0.995)


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """One sample a form; its entities are its regions, its questions with answers its fields."""
    return read_pairs(folder, _convert)


def _is_form(value: Any) -> bool:
    form = value.get("form")
    entities = form[:5] if isinstance(form, list) else []
    return bool(entities) and all(
        isinstance(entity, dict) and "box" in entity and "text" in entity for entity in entities
    )


def _convert(row: Row, file: str, images: tuple[str, ...]) -> Iterator[Annotation | Problem]:
    form = row.value.get("form")
    if not isinstance(form, list):
        yield bad_value(file, row, "no list under 'form'; expected the entities of a form")
        return
    parts, problems = [], []
    for number, entity in enumerate(form, 1):
        try:
            parts.append(_part(entity))
        except ValueError as error:
            problems.append(bad_value(file, row, f"entity {number} of the form: {error}"))
    if problems:
        yield from problems
        return
    in_rows = reading_order(part for part in parts if part.text.strip())
    fields = linked_fields(part for line in in_rows for part in line)
    yield Annotation(
        id="",
        images=images,
        prompt="",
        text=text_of(in_rows),
        regions=regions_of(in_rows),
        source=f"{file}:{row.place}",
        structure=(Fields(value=fields),) if fields else (),
    )


def _part(entity: Any) -> Part:
    if not isinstance(entity, dict):
        raise ValueError(f"expected an object, found {entity!r:.40}")
    identity = entity.get("id")
    if not isinstance(identity, int | str):
        raise ValueError(f"'id': expected a number, found {identity!r:.40}")
    box = straight_box(entity.get("box"))
    text, label = text_in(entity, "text"), text_in(entity, "label")
    return Part(text, box, label, identity, links_of(entity.get("linking")))
