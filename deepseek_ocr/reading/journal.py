"""`pages.jsonl`: a row for every page that has ended, on disk when its text is.

Rows are only ever added; of a page's rows the last one counts. `fingerprint` (see `identity`) says
which file the page was read from, in which state and with which settings, so that a row of another
file, or of another prompt, is not taken for this one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..files import replacing
from .growing import GrowingRows, object_of, whole_lines
from .identity import file_of
from .results import STATUSES, ReadPage

JOURNAL_NAME = "pages.jsonl"
MAX_NUMBER = 10**9


class Ended(NamedTuple):
    """How a page, or the opening of a document, ended."""

    status: str
    reason: str = ""


WELL = {status: Ended(status) for status in STATUSES}
"""Ends without a reason, one object each: a job may have millions."""


class Journal(GrowingRows):
    """The rows of a job's folder, by fingerprint and page; page None: the document as a whole."""

    def __init__(self, folder: Path):
        super().__init__(Path(folder) / JOURNAL_NAME)
        self._ended: dict[str, dict[int | None, Ended]] = {}
        self._newest: dict[str, str] = {}  # file -> its fingerprint
        self.num_superseded = 0
        """Rows of pages that have a later one."""
        self.to_retry: set[tuple[str, int | None]] = set()
        """Fingerprints and pages that are to end once more, until they have."""

    def forget(self) -> None:
        """The file was replaced."""
        self._ended.clear()
        self._newest.clear()
        self.num_superseded = 0

    def take(self, row: Mapping[str, Any], start: int, length: int) -> None:
        """A row that is new."""
        if (key := key_of(row)) is None:
            return
        fingerprint, number = key
        file = file_of(fingerprint)
        if (before := self._newest.get(file, fingerprint)) != fingerprint:
            self.num_superseded += len(self._ended.pop(before, ()))
        self._newest[file] = fingerprint
        self.to_retry.discard(key)
        pages = self._ended.setdefault(fingerprint, {})
        self.num_superseded += number in pages
        if number is not None and None in pages:  # it opened after all
            del pages[None]
            self.num_superseded += 1
        reason = row.get("reason")
        well = WELL[row["status"]]
        pages[number] = (
            well if not isinstance(reason, str) or not reason else Ended(well[0], reason)
        )

    def add(self, source: str, fingerprint: str, page: ReadPage) -> None:
        """The page has ended, and its text is safe."""
        self.append(journal_row(source, page) | {"fingerprint": fingerprint})

    def ended(self, fingerprint: str) -> Mapping[int | None, Ended]:
        """How the pages of a document ended, as far as they have."""
        return self._ended.get(fingerprint, {})

    def is_done(self, fingerprint: str, number: int | None) -> bool:
        """Whether a page has ended and is not to be retried."""
        return number in self.ended(fingerprint) and (fingerprint, number) not in self.to_retry

    def rewrite(self, forgotten: Collection[str] = ()) -> None:
        """Write the file anew: one row a page, and none of the fingerprints that are `forgotten`.

        Rows stand by document, in the order in which documents began, then by page. Nobody else
        may work in the job meanwhile.
        """
        if not self.path.exists():
            return
        lines = _lasting_lines(self.path, lambda fingerprint: fingerprint in forgotten)
        with (
            replacing(self.path) as temporary,
            self.path.open("rb") as old,
            temporary.open("wb") as new,
        ):
            for start, length in lines:
                old.seek(start)
                new.write(old.read(length))
        self.refresh()


def journal_row(source: str, page: ReadPage) -> dict[str, Any]:
    """What is told of a page that has ended; its texts are in the document's files."""
    return {
        "source": source,
        "page": page.number,
        "status": page.status,
        "reason": page.reason,
        "prompt": page.prompt,
        "mode": page.mode,
        "attempts": page.attempts,
        "num_tokens": page.num_tokens,
        "seconds": round(page.seconds, 4),
    }


def key_of(row: Mapping[str, Any]) -> tuple[str, int | None] | None:
    """Fingerprint and page number of a row; None if it is no row of a page."""
    fingerprint, number = row.get("fingerprint"), row.get("page")
    is_number = isinstance(number, int) and not isinstance(number, bool)
    if number is not None and not (is_number and 1 <= number <= MAX_NUMBER):
        return None
    if not isinstance(fingerprint, str) or not isinstance(row.get("source"), str):
        return None
    status = row.get("status")
    return (fingerprint, number) if isinstance(status, str) and status in WELL else None


def _lasting_lines(path: Path, is_forgotten: Callable[[str], bool]) -> list[tuple[int, int]]:
    """Start and length of the lines that stay, in the order in which they are to stand."""
    pages_of: dict[str, dict[int | None, tuple[int, int]]] = {}  # in the order of their beginning
    newest: dict[str, str] = {}
    with path.open("rb") as opened:
        for line, start, length in whole_lines(opened):
            row = object_of(line)
            key = None if row is None else key_of(row)
            if key is None or is_forgotten(key[0]):
                continue
            fingerprint, number = key
            file = file_of(fingerprint)
            pages = pages_of.setdefault(file, {})
            if newest.setdefault(file, fingerprint) != fingerprint:
                newest[file] = fingerprint
                pages.clear()
            pages[number] = start, length
            if number is not None:
                pages.pop(None, None)
    return [pages[number] for pages in pages_of.values() for number in sorted(pages, key=_order)]


def _order(number: int | None) -> int:
    return number or 0


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """All rows of a folder's journal, in the order of the file."""
    path = Path(folder) / JOURNAL_NAME
    if not path.exists():
        return []
    with path.open("rb") as file:
        rows = (object_of(line) for line, _, _ in whole_lines(file))
        return [row for row in rows if row is not None]
