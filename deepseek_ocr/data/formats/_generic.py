"""Rows of any shape that is known: each by the reader whose shape it has, else by usual keys."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, cast

from ..annotations import Annotation
from ..folder import DatasetFolder
from ..json_files.rows import Row
from ..pages.embedded import PICTURE_KEYS, embedded_pictures
from ..problems import Problem
from ._containers import COLUMNS, LISTS, SHEETS, list_files
from ._detection import Detection, counted
from ._first_rows import LOOKED_AT, first_rows
from ._rows import TEXT_KEYS, annotation_of
from ._turns import TURN_KEYS

GENERIC_SCORE = 0.9
ALL_CONTAINERS = (*LISTS, *SHEETS, *COLUMNS)
TEXTS = frozenset((*TEXT_KEYS, *TURN_KEYS, "text_info"))
LAST_RESORT = 0.01
NAME_COLUMNS = ("file_name", "file_names")  # `front_file_name` too, as in `imagefolder`


class Shape(Protocol):
    """A reader of one shape of row; see `_lists`."""

    MARKS: frozenset[str]

    def is_row(self, value: Mapping[str, Any]) -> bool: ...

    def convert(
        self, row: Row, file: str, folder: DatasetFolder
    ) -> Iterable[Annotation | Problem]: ...


def convert(row: Row, file: str, folder: DatasetFolder) -> Iterable[Annotation | Problem]:
    """The sample of one row, or its problems."""
    shape = shape_of(row.value)
    return (shape.convert if shape else annotation_of)(row, file, folder)


def shape_of(value: Mapping[str, Any]) -> Shape | None:
    """The reader whose shape a row has; None for the usual keys."""
    for shape in _candidates(tuple(value)):
        if shape.is_row(value):
            return shape
    return None


def names_pictures(value: Mapping[str, Any]) -> bool:
    """Whether a row looks like a sample."""
    turns = any(isinstance(value.get(key), list) for key in TURN_KEYS)
    return turns or bool(embedded_pictures(value)) or shape_of(value) is not None


def may_hold_samples(columns: Sequence[str]) -> bool:
    """Whether rows with such columns can name pictures, or be of a shape that is known."""
    known = any(c in PICTURE_KEYS or c in TURN_KEYS or c.endswith(NAME_COLUMNS) for c in columns)
    return known or bool(_candidates(tuple(columns)))


def detect_usual_rows(folder: DatasetFolder, suffixes: Sequence[str]) -> Detection | None:
    """Whether the first rows of these files name pictures."""
    files = list_files(folder, suffixes)
    if not files:
        return None
    good = [file for file in files[:LOOKED_AT] if _holds_samples(folder, file)]
    if not good:  # kept as a last resort, so that what is wrong with the rows is reported
        reason = f"{files[0]} may hold rows, though none of its first {LOOKED_AT} names a picture"
        return Detection(score=LAST_RESORT, reason=reason)
    shown = good[0] if len(good) == 1 else f"{good[0]} and {counted(len(good) - 1, 'more file')}"
    reason = f"the rows of {shown} name their pictures{not_read(folder, files)}"
    return Detection(score=GENERIC_SCORE, reason=reason)


def not_read(folder: DatasetFolder, files: Sequence[str]) -> str:
    """What a detection adds where rows lie in other files than those it would read, else ""."""
    others = list_files(folder, ALL_CONTAINERS)
    left = [f for f in others[:LOOKED_AT] if f not in files and _holds_samples(folder, f, True)]
    return f"; the rows of {', '.join(left)} are not read" if left else ""


def _holds_samples(folder: DatasetFolder, file: str, with_text: bool = False) -> bool:
    values = (row.value for row in first_rows(folder, file) if isinstance(row, Row))
    return any(
        names_pictures(value) and (not with_text or not value.keys().isdisjoint(TEXTS))
        for value in values
    )


@functools.lru_cache(maxsize=1024)
def _candidates(keys: tuple[str, ...]) -> tuple[Shape, ...]:
    """The shapes of which a row with such keys has a mark: mostly none, or one."""
    present = frozenset(keys)
    return tuple(shape for shape in _shapes() if not shape.MARKS.isdisjoint(present))


@functools.cache
def _shapes() -> tuple[Shape, ...]:
    from . import readers  # here, because the registry imports every reader

    return tuple(cast(Shape, reader) for reader in readers().values() if hasattr(reader, "MARKS"))
