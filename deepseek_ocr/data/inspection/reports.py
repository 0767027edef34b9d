"""What is known of the pictures of a dataset, on disk: memory does not grow with their number."""

from __future__ import annotations

import dataclasses
import functools
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from operator import itemgetter
from typing import Any

from ..pages.references import Reference, parse_reference
from .one_file import MOST_PAGES, FileReport, Found, Inspection, PageReport

PARTS_A_TASK = 64
ROWS_AT_ONCE = 1000
REMEMBERED = 1 << 16  # reports that need not be looked up again, some 30 MB

_ADD_PAGE = "INSERT OR IGNORE INTO pages (path, place, part) VALUES (?, ?, ?)"
_TABLES = """
PRAGMA cache_size = -32768;
PRAGMA synchronous = OFF;
PRAGMA journal_mode = OFF;
CREATE TABLE files (
    path BLOB PRIMARY KEY, sha256 TEXT, num_pages INTEGER, fault TEXT
) WITHOUT ROWID;
CREATE TABLE pages (
    path BLOB, place INTEGER, part TEXT,
    width INTEGER, height INTEGER, hash INTEGER, fingerprint TEXT, fault TEXT,
    PRIMARY KEY (path, place, part)
) WITHOUT ROWID;
"""


class PictureReports:
    """The reports of files and pages; a context manager that gives its disk space back.

    Paths are relative to the data root, references as annotations write them.
    """

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)  # a file without a name
        self._database.executescript(_TABLES)
        self._database.execute("BEGIN")  # never committed: nobody else reads, and nothing lasts
        self._page = functools.lru_cache(REMEMBERED)(self._find_page)

    def __enter__(self) -> PictureReports:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the disk space back; nothing can be asked any more."""
        self._database.close()

    def file(self, path: str) -> FileReport:
        """The report of a file.

        Raises:
            KeyError: no reference named it.
        """
        query = "SELECT sha256, num_pages, fault FROM files WHERE path = ?"
        row = self._database.execute(query, (_key(path),)).fetchone()
        if row is None:
            raise KeyError(path)
        return FileReport(*row)

    def page(self, reference: str) -> PageReport:
        """The report of a page.

        Raises:
            KeyError: it was not among the references, nor a page of a `#page=*` of them.
        """
        return self._page(reference)

    def files(self) -> Iterator[tuple[str, FileReport]]:
        """Every file and its report, sorted by path."""
        query = "SELECT path, sha256, num_pages, fault FROM files ORDER BY path"
        for path, *report in self._database.execute(query):
            yield _name(path), FileReport(*report)

    def _find_page(self, reference: str) -> PageReport:
        named = parse_reference(reference)
        query = """
            SELECT width, height, hash, fingerprint, pages.fault, sha256
            FROM pages JOIN files USING (path) WHERE path = ? AND place = ? AND part = ?
        """
        row = self._database.execute(query, _page_key(named)).fetchone()
        if row is None:
            raise KeyError(reference)
        width, height, signed, fingerprint, fault, sha256 = row
        if fault is not None:
            return PageReport(fault=fault)
        fingerprint = fingerprint or f"{sha256}#{named.page or 1}"
        return PageReport(width, height, signed & (1 << 64) - 1, fingerprint)

    def expect(self, references: Iterable[str]) -> None:
        """Take note of the pages whose reports are to come; naming one again changes nothing.

        Raises:
            PageError: a reference that is none.
        """
        wanted = (_page_key(parse_reference(reference)) for reference in _thinned(references))
        self._database.executemany(_ADD_PAGE, wanted)
        self._database.execute("INSERT INTO files (path) SELECT DISTINCT path FROM pages")

    def num_waiting(self) -> int:
        """How many pages have no report yet, as far as they are known."""
        query = "SELECT count(*) FROM pages WHERE width IS NULL"
        return self._database.execute(query).fetchone()[0]

    def tasks(self) -> Iterator[Inspection]:
        """What is left to be inspected, file by file in the order of paths, a few pages at once.

        Reports may be added on the way. Pages that turn up so are left to the next call.
        """
        for path, rows in groupby(self._waiting(), key=itemgetter(0)):
            parts = (part for _, _, part in rows)
            with_file = self._is_unknown(path)
            while some := tuple(islice(parts, PARTS_A_TASK)):
                yield Inspection(_name(path), some, with_file)
                with_file = False

    def add(self, path: str, found: Found) -> None:
        """Keep a report."""
        if isinstance(found, FileReport):
            query = "UPDATE files SET sha256 = ?, num_pages = ?, fault = ? WHERE path = ?"
            new_file = (found.sha256, found.num_pages, found.fault, _key(path))
            self._database.execute(query, new_file)
            self._expect_all_pages(path, found.num_pages)
            return
        part, page = found
        hash_bits = page.perceptual_hash
        signed = hash_bits - (1 << 64) if hash_bits >> 63 else hash_bits  # as SQLite's numbers are
        key = _page_key(parse_reference(path + part))
        new_page = (*key, page.width, page.height, signed, page.fingerprint, page.fault)
        self._database.execute("REPLACE INTO pages VALUES (?, ?, ?, ?, ?, ?, ?, ?)", new_page)

    def give_up(self, path: str, fault: str) -> int:
        """One report for all pages of a file that have none yet; how many these are."""
        query = "UPDATE pages SET width = 0, fault = ? WHERE path = ? AND width IS NULL"
        return self._database.execute(query, (fault, _key(path))).rowcount

    def _expect_all_pages(self, path: str, num_pages: int) -> None:
        """Where `path#page=*` was named: take note of each page."""
        query = "SELECT part FROM pages WHERE path = ? AND place = 0"
        parts = [part for (part,) in self._database.execute(query, (_key(path),))]
        whole = [named for part in parts if (named := parse_reference(path + part)).is_whole]
        for named in whole:
            pages = range(1, min(num_pages, MOST_PAGES) + 1)
            each = (dataclasses.replace(named, page=page, is_whole=False) for page in pages)
            self._database.executemany(_ADD_PAGE, map(_page_key, each))

    def _is_unknown(self, path: bytes) -> bool:
        query = "SELECT num_pages IS NULL FROM files WHERE path = ?"
        return bool(self._database.execute(query, (path,)).fetchone()[0])

    def _waiting(self) -> Iterator[tuple[bytes, int, str]]:
        """Keys of the pages without a report; reports may be added on the way."""
        query = f"""
            SELECT path, place, part FROM pages
            WHERE (path, place, part) > (?, ?, ?) AND width IS NULL
            ORDER BY path, place, part LIMIT {ROWS_AT_ONCE}
        """
        last: tuple[Any, ...] = (b"", 0, "")
        while rows := self._database.execute(query, last).fetchall():
            yield from rows
            last = rows[-1]


def _thinned(references: Iterable[str]) -> Iterator[str]:
    """Without most of those that were there a short while ago."""
    recent: set[str] = set()
    for reference in references:
        if reference not in recent:
            if len(recent) >= REMEMBERED:
                recent.clear()
            recent.add(reference)
            yield reference


def _page_key(named: Reference) -> tuple[bytes, int, str]:
    """Path, place in the file, and part: the pages of a file in the order in which they lie."""
    return _key(named.path), named.page or named.row or named.line or 0, named.part


def _key(path: str) -> bytes:
    return path.encode("utf-8", "surrogatepass")  # file names need not be UTF-8


def _name(key: bytes) -> str:
    return key.decode("utf-8", "surrogatepass")
