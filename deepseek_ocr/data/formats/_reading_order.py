"""Pieces of text with boxes -> rows in reading order.

Boxes are upright (x1, y1, x2, y2) in pixels.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias, TypeVar

from ..annotations import Region

Box: TypeAlias = tuple[float, float, float, float]

MAX_COORDINATE = 1e9  # a picture has fewer pixels a side


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """A word, a line or a field of a form, where it stands, and what it is called, if anything."""

    text: str
    box: Box
    label: str = ""

    @property
    def middle(self) -> float:
        return (self.box[1] + self.box[3]) / 2


P = TypeVar("P", bound=Piece)


def reading_order(pieces: Iterable[P]) -> list[list[P]]:
    """Rows from top to bottom, each from left to right.

    Pieces share a row if they share more than half the height of the lower one, and stand beside
    each other: a line printed twice, one over the other, stays two lines.
    """
    rows: list[list[P]] = []
    first: P | None = None  # the highest of the last row
    for piece in sorted(pieces, key=lambda piece: (piece.middle, piece.box[0])):
        place = bisect.bisect(rows[-1], piece.box[0], key=_left) if rows else 0
        if first is not None and _same_row(rows[-1], place, first, piece):
            rows[-1].insert(place, piece)
        else:
            rows.append([piece])
            first = piece
    return rows


def text_of(rows: Iterable[Sequence[Piece]]) -> str:
    """A line a row, its pieces joined by blanks; pieces without text are left out."""
    lines = (" ".join(piece.text for piece in row if piece.text.strip()) for row in rows)
    return "\n".join(line for line in lines if line)


def regions_of(rows: Iterable[Sequence[Piece]]) -> tuple[Region, ...]:
    """A region a piece, in the order of the rows."""
    return tuple(
        Region(label=piece.label, box=piece.box, text=piece.text) for row in rows for piece in row
    )


def box_around(points: Any) -> Box:
    """The upright box around points, a list of at least two `[x, y]` in pixels.

    Raises:
        ValueError: they are something else.
    """
    usable = isinstance(points, list) and len(points) > 1
    if not usable or not all(isinstance(p, list) and len(p) == 2 for p in points):
        raise ValueError("expected corners as [[x, y], [x, y], ...]")
    xs, ys = zip(*(map(coordinate, point) for point in points), strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def straight_box(sides: Any) -> Box:
    """`[x1, y1, x2, y2]` in pixels, in whatever order its corners are.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(sides, list) or len(sides) != 4:
        raise ValueError("expected a box as [x1, y1, x2, y2]")
    return box_around([sides[:2], sides[2:]])


def coordinate(value: Any) -> float:
    """A number that can be a place in a picture.

    Raises:
        ValueError: it is none.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not abs(value) < MAX_COORDINATE:
        raise ValueError(f"{str(value)[:40]!r} is no number of pixels")
    return value


def _left(piece: Piece) -> float:
    return piece.box[0]


def _same_row(row: Sequence[Piece], place: int, first: Piece, piece: Piece) -> bool:
    """Of a row whose pieces stand beside each other, only the neighbours can be in the way."""
    neighbours = row[max(place - 1, 0) : place + 1]
    beside = all(_shared(other.box[0::2], piece.box[0::2]) < 0.5 for other in neighbours)
    return beside and _shared(first.box[1::2], piece.box[1::2]) > 0.5


def _shared(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """What two spans (begin, end) have in common, as a share of the shorter one."""
    common = min(one[1], other[1]) - max(one[0], other[0])
    return common / max(min(one[1] - one[0], other[1] - other[0]), 1)
