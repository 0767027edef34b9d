"""`doctr`: one JSON object, picture -> its annotation, beside the pictures or their folder.

* recognition: `{"word_1.jpg": "text"}` (UIT's handwriting has such a `label.json` in each folder);
* detection: `{"page.jpg": {"img_dimensions": [h, w], "polygons": [[[x, y], ...], ...]}}`, or
  polygons by class; there is no text in it, only boxes (`--target grounding`);
* pages: `{"page.jpg": {"typed_words": [{"value": "text", "geometry": [x1, y1, x2, y2]}]}}`.

https://mindee.github.io/doctr/using_doctr/custom_models_training.html
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from ...pictures import SUFFIXES as PICTURE_SUFFIXES
from ..annotations import Annotation, Region
from ..folder import DatasetFolder
from ..json_files.allowance import Allowance
from ..json_files.members import Member, read_members
from ..json_files.rows import first_character
from ..problems import CutShort, Problem
from ._detection import Detection
from ._first_rows import FILE_BYTES, LOOKED_AT
from ._named import NamedPictures, shallow_first
from ._reading_order import (
    Piece,
    box_around,
    reading_order,
    regions_of,
    straight_box,
    text_of,
)
from ._unusable import Unusable

NAME = "doctr"
SUFFIXES = (".json",)
PICTURE_FOLDERS = ("images",)
DEFAULT_CLASS = "words"  # what docTR calls polygons without a class


def detect(folder: DatasetFolder) -> Detection | None:
    num_members = num_matching = 0
    matching: list[str] = []
    for file in shallow_first(folder.with_suffix(*SUFFIXES))[:LOOKED_AT]:
        members = [found for found in _first_members(folder, file) if isinstance(found, Member)]
        matches = sum(map(_is_label, members))
        if matches:  # other files may be anything
            num_members, num_matching = num_members + len(members), num_matching + matches
            matching.append(file)
    if not matching:
        return None
    more = f" and {len(matching) - 1} more files" if len(matching) > 1 else ""
    reason = f"{matching[0]}{more} has an annotation for each name of a picture"
    return Detection(score=0.98 * num_matching / num_members, reason=reason)


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """One sample a picture, over all such files."""
    pictures = NamedPictures(folder, PICTURE_FOLDERS)
    objects = folder.with_suffix(*SUFFIXES)
    files = [file for file in objects if _may_hold_labels(folder, file)]
    all_read = True
    for file in files or objects:
        for member in read_members(folder.path(file), file):
            if isinstance(member, Problem):
                all_read = all_read and not isinstance(member, CutShort)
                yield member
            else:
                yield from _samples(member, file, pictures)
    if all_read:
        yield from pictures.without_annotation(files or objects)


def _may_hold_labels(folder: DatasetFolder, file: str) -> bool:
    """Whether an object is read: for its labels, or to tell why it cannot be read."""
    first = _first_members(folder, file)
    members = [found for found in first if isinstance(found, Member)]
    return any(map(_is_label, members)) or (bool(first) and not members)


def _first_members(folder: DatasetFolder, file: str) -> list[Member | Problem]:
    path = folder.path(file)
    try:
        if first_character(path) != "{":
            return []
    except OSError:  # reading it will tell the reason
        return []
    return list(islice(read_members(path, file, allowance=Allowance(FILE_BYTES)), LOOKED_AT))


def _is_label(member: Member) -> bool:
    if not member.key.lower().endswith(PICTURE_SUFFIXES):
        return False
    value = member.value
    return isinstance(value, str) or (
        isinstance(value, dict) and ("polygons" in value or "typed_words" in value)
    )


def _samples(member: Member, file: str, pictures: NamedPictures) -> Iterator[Annotation | Problem]:
    source = f"{file}:{member.line}"
    sample = f"{source} {member.key}"  # a line may hold many
    try:
        image = pictures.find(member.key, file)
        text, regions = _truth(member.value)
    except Unusable as error:
        yield Problem(kind=error.kind, source=source, reason=str(error), sample=sample)
    except ValueError as error:
        reason = f"{member.key}: {error}"
        yield Problem(kind="bad value", source=source, reason=reason, sample=sample)
    else:
        yield Annotation(
            id="", images=(image,), prompt="", text=text, regions=regions, source=source
        )


def _truth(value: Any) -> tuple[str, tuple[Region, ...]]:
    """Text and regions of one picture."""
    if isinstance(value, str):
        return value, ()
    if isinstance(value, dict) and "typed_words" in value:
        rows = reading_order(_words(value["typed_words"]))
        return text_of(rows), regions_of(rows)
    if isinstance(value, dict) and "polygons" in value:
        rows = reading_order(_shapes(value["polygons"]))
        return "", regions_of(rows)
    raise ValueError("expected its text, or an object with 'polygons' or 'typed_words'")


def _words(written: Any) -> Iterator[Piece]:
    if not isinstance(written, list):
        raise ValueError("'typed_words': expected a list")
    for word in written:
        if not isinstance(word, dict) or not isinstance(word.get("value"), str):
            raise ValueError("'typed_words': expected objects with a 'value'")
        geometry = word.get("geometry")
        corners = isinstance(geometry, list) and geometry and isinstance(geometry[0], list)
        box = box_around(geometry) if corners else straight_box(_sides(geometry))
        yield Piece(word["value"], box)


def _sides(geometry: Any) -> Any:
    """Four sides; what follows them is an angle."""
    return geometry[:4] if isinstance(geometry, list) else geometry


def _shapes(written: Any) -> Iterator[Piece]:
    by_class = written if isinstance(written, dict) else {DEFAULT_CLASS: written}
    for label, polygons in by_class.items():
        if not isinstance(polygons, list):
            raise ValueError("'polygons': expected a list of corners for each")
        for polygon in polygons:
            yield Piece("", box_around(polygon), label)
