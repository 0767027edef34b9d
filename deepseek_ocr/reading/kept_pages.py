"""What the pages of a document said, until its files are written, and after.

One growing file a document. A page is kept before its row stands in the journal, so that a row
never promises what is not there. What can be computed again from the answer is not kept: other
tables, formulas or file formats than before need no model.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from .growing import GrowingRows, object_of
from .journal import MAX_NUMBER, WELL
from .results import ReadPage

_KEPT: dict[str, type] = {
    "status": str,
    "reason": str,
    "text": str,
    "width": int,
    "height": int,
    "turned": int,
    "prompt": str,
    "mode": str,
    "attempts": int,
    "num_tokens": int,
}


class KeptPages(GrowingRows):
    """The pages of one document, by number; of a page that was read again the last reading."""

    def __init__(self, path: Path):
        super().__init__(path)
        self._places: dict[int, tuple[int, int]] = {}

    def forget(self) -> None:
        """The file was replaced."""
        self._places.clear()

    def take(self, row: Mapping[str, Any], start: int, length: int) -> None:
        """A page that is new."""
        if (page := page_of(row)) is not None and page.number is not None:
            self._places[page.number] = start, length

    def keep(self, page: ReadPage) -> None:
        """Put a page on disk."""
        row = {name: getattr(page, name) for name in _KEPT}
        self.append({"page": page.number, **row, "seconds": round(page.seconds, 4)})

    @property
    def numbers(self) -> Collection[int]:
        """Of the pages that are kept, as of the last `refresh`."""
        return self._places.keys()

    @property
    def num_bytes(self) -> int:
        """Of the file as of the last `refresh`: whatever is added changes it."""
        return self._position

    def page(self, number: int) -> ReadPage:
        """A kept page, without what is computed from its answer.

        Raises:
            KeyError: it is not there.
        """
        return next(self.pages([number]))

    def pages(self, numbers: Collection[int]) -> Iterator[ReadPage]:
        """Kept pages one by one, without what is computed from their answers.

        Raises:
            KeyError: one is not there.
        """
        if not numbers:
            return
        with self.path.open("rb") as file:
            for number in numbers:
                yield self._read(file, number)

    def _read(self, file: BinaryIO, number: int) -> ReadPage:
        start, length = self._places[number]
        file.seek(start)
        row = object_of(file.read(length))
        page = None if row is None else page_of(row)
        if page is None or page.number != number:  # somebody changed the file under our hands
            raise KeyError(number)
        return page


def page_of(row: Mapping[str, Any]) -> ReadPage | None:
    """The page that a line holds; None if it holds none."""
    number, seconds = row.get("page"), row.get("seconds")
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= MAX_NUMBER:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    values = {name: row.get(name) for name in _KEPT}
    for name, kind in _KEPT.items():
        value = values[name]
        if isinstance(value, bool) or not isinstance(value, kind):
            return None
        if kind is int and not 0 <= value <= MAX_NUMBER:  # type: ignore[operator]
            return None
    if values["status"] not in WELL:
        return None
    return ReadPage(number=number, seconds=float(seconds), **values)  # type: ignore[arg-type]
