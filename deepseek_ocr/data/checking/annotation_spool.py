"""Annotations kept on disk while a dataset is checked."""

from __future__ import annotations

from typing import Any

from ..annotations import Annotation, Region
from .spool import Spool


def annotation_spool() -> Spool[Annotation]:
    """A spool of annotations; their `structure` is not kept, as the target was made from it."""
    return Spool(_packed, _unpacked)


def _packed(row: Annotation) -> list[Any]:
    return [
        row.id,
        row.images,
        row.prompt,
        row.text,
        [(region.label, region.box, region.text, region.image) for region in row.regions],
        row.group,
        row.lang,
        row.source,
        row.weight,
        dict(row.attributes),
        row.box_frame,
        row.also_read,
        row.has_box_marks,
        dict(row.held_names),
    ]


def _unpacked(values: list[Any]) -> Annotation:
    name, images, prompt, text, regions, group, lang, source, weight, attributes, *rest = values
    frame, also_read, has_box_marks, held_names = rest
    return Annotation(
        id=name,
        images=tuple(images),
        prompt=prompt,
        text=text,
        regions=tuple(
            Region(label=label, box=tuple(box), text=said, image=image)
            for label, box, said, image in regions
        ),
        group=group,
        lang=lang,
        source=source,
        weight=weight,
        attributes=attributes,
        box_frame=frame,
        also_read=tuple(also_read),
        has_box_marks=has_box_marks,
        held_names=held_names,
    )
