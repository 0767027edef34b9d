"""`--pages 1-3,7,12-`: which pages of a document are read."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from ..errors import UsageError

_RANGE = re.compile(r"\s*([0-9]{1,9})\s*(?:(-)\s*([0-9]{1,9})?\s*)?")
_EXPECTED = "expected pages such as 1-3,7 or 12- (from 12 to the end)"
_SHOWN = 40  # characters of what cannot be read


@dataclasses.dataclass(frozen=True)
class PageRanges:
    """Pages by their first and last numbers; None: to the end. Ascending, and none twice."""

    ranges: tuple[tuple[int, int | None], ...]

    def within(self, num_pages: int) -> list[int]:
        """The numbers of those pages that a document of so many has, ascending."""
        numbers: list[int] = []
        for first, last in self.ranges:
            end = num_pages if last is None else min(last, num_pages)
            numbers += range(first, end + 1)
        return numbers

    def __str__(self) -> str:
        return ",".join(
            str(first) if first == last else f"{first}-{'' if last is None else last}"
            for first, last in self.ranges
        )


def parse_page_ranges(text: str) -> PageRanges:
    """`1-3,7` -> pages 1, 2, 3 and 7; blanks, any order and overlaps are allowed.

    Raises:
        UsageError: it is not such a list, or a range ends before it begins.
    """
    return PageRanges(_merged(sorted(_parsed(part) for part in text.split(","))))


def _parsed(part: str) -> tuple[int, float]:
    match = _RANGE.fullmatch(part)
    if match is None:
        shown = part if len(part) <= _SHOWN else part[:_SHOWN] + "..."
        raise UsageError(f"{shown!r} is not a range of pages; {_EXPECTED}")
    first = int(match[1])
    last = float(match[3]) if match[3] else float("inf") if match[2] else first
    if first < 1:
        raise UsageError(f"page {first} does not exist; pages count from 1")
    if last < first:
        raise UsageError(f"{part.strip()}: ends before it begins; write {int(last)}-{first}")
    return first, last


def _merged(ranges: Sequence[tuple[int, float]]) -> tuple[tuple[int, int | None], ...]:
    """Sorted ranges -> those that overlap or touch as one."""
    merged: list[tuple[int, float]] = []
    for first, last in ranges:
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple((first, None if last == float("inf") else int(last)) for first, last in merged)
