"""Reports of pictures kept from one run to the next, so that a run broken off goes on.

One SQLite file a data root, in `cache_folder()`. A report holds as long as the file keeps its size,
inode and times of change, and this program computes the same. Faults are not kept: the next run
looks again. Whatever is wrong with the cache, the run goes on without it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

from ...errors import PageError
from ...files import cache_folder as cache_folder
from ..pages.loading import reference_path
from .one_file import FileReport, Found, Inspection, PageReport

COMPUTED = 1  # raised by one when the report of an unchanged file changes
LIBRARIES = ("pillow", "pypdfium2")  # whose versions decide how a page looks
RECENT_NS = 2_000_000_000  # a file changed just now may change again within the clock's tick
LOCKED_S = 2.0
SECONDS_A_COMMIT = 2.0
UNUSED_S = 90 * 24 * 3600.0

_TABLES = """
PRAGMA synchronous = OFF;
CREATE TABLE IF NOT EXISTS meaning (value TEXT);
CREATE TABLE IF NOT EXISTS files (
    path BLOB PRIMARY KEY, version TEXT, sha256 TEXT, num_pages INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pages (
    path BLOB, part TEXT, width INTEGER, height INTEGER, hash TEXT, fingerprint TEXT,
    PRIMARY KEY (path, part)
) WITHOUT ROWID;
"""


class InspectionCache:
    """What earlier runs found out about the files of a data root; a context manager.

    With `folder` None, or where it cannot be used, nothing is known and nothing kept.
    """

    def __init__(self, folder: Path | None, data_root: Path, max_pixels: int):
        self._root = Path(data_root).resolve()
        self._file = Path()
        self._database: sqlite3.Connection | None = None
        self._last_commit = time.monotonic()
        if folder is None:
            return
        name = hashlib.sha256(os.fsencode(self._root)).hexdigest()[:32] + ".sqlite3"
        self._file = folder / name
        with contextlib.suppress(OSError, sqlite3.Error):
            folder.mkdir(parents=True, exist_ok=True)
            _remove_unused(folder)
            self._database = _opened(self._file, _meaning(max_pixels))

    def __enter__(self) -> InspectionCache:
        return self

    def __exit__(self, *_: object) -> None:
        if self._database is not None:
            with contextlib.suppress(sqlite3.Error):
                self._commit()
            self._database.close()

    def recall(self, task: Inspection) -> tuple[list[Found], Inspection | None]:
        """The reports that are known already, and what is left of the task, None for nothing."""
        if self._database is None:
            return [], task
        try:
            found = self._known(task)
        except sqlite3.Error as error:
            self._put_aside(error)
            return [], task
        known = {None if isinstance(report, FileReport) else report[0] for report in found}
        parts = tuple(part for part in task.parts if part not in known)
        with_file = task.with_file and None not in known
        left = dataclasses.replace(task, parts=parts, with_file=with_file)
        return found, left if parts or with_file else None

    def keep(self, path: str, found: Found) -> None:
        """Keep a report of a file that is as it was when the task was looked for."""
        if self._database is None:
            return
        try:
            self._keep(path, found)
        except sqlite3.Error as error:
            self._put_aside(error)

    def _known(self, task: Inspection) -> list[Found]:
        """Also begins anew with a file that is not as it was."""
        key = _key(task.path)
        version = _version(self._root, task.path)
        row = self._run("SELECT version, sha256, num_pages FROM files WHERE path = ?", key)
        if row is None or row[0] != version:
            self._write("DELETE FROM pages WHERE path = ?", key)
            self._write("REPLACE INTO files VALUES (?, ?, NULL, NULL)", key, version)
            return []
        found: list[Found] = [FileReport(row[1], row[2])] if task.with_file and row[1] else []
        query = "SELECT width, height, hash, fingerprint FROM pages WHERE path = ? AND part = ?"
        for part in task.parts:
            if page := self._run(query, key, part):
                width, height, digits, fingerprint = page
                found.append((part, PageReport(width, height, int(digits, 16), fingerprint)))
        return found

    def _keep(self, path: str, found: Found) -> None:
        report = found if isinstance(found, FileReport) else found[1]
        row = self._run("SELECT version FROM files WHERE path = ?", _key(path))
        version = _version(self._root, path)
        if report.fault is not None or row is None or version is None or row[0] != version:
            return
        if isinstance(found, FileReport):
            update = "UPDATE files SET sha256 = ?, num_pages = ? WHERE path = ?"
            self._write(update, found.sha256, found.num_pages, _key(path))
        else:
            part, page = found
            new = (page.width, page.height, f"{page.perceptual_hash:x}", page.fingerprint)
            self._write("REPLACE INTO pages VALUES (?, ?, ?, ?, ?, ?)", _key(path), part, *new)

    def _run(self, query: str, *values: Any) -> Any:
        assert self._database is not None
        return self._database.execute(query, values).fetchone()

    def _write(self, query: str, *values: Any) -> None:
        assert self._database is not None
        if not self._database.in_transaction:
            self._database.execute("BEGIN IMMEDIATE")
        self._database.execute(query, values)
        if time.monotonic() - self._last_commit > SECONDS_A_COMMIT:
            self._commit()

    def _commit(self) -> None:
        assert self._database is not None
        if self._database.in_transaction:
            self._database.execute("COMMIT")
        self._last_commit = time.monotonic()

    def _put_aside(self, error: sqlite3.Error) -> None:
        """Go on without the cache; a damaged file makes room for the next run's."""
        assert self._database is not None
        with contextlib.suppress(sqlite3.Error):
            self._database.close()
        self._database = None
        _rename_if_damaged(self._file, error)


def _opened(file: Path, meaning: str) -> sqlite3.Connection:
    """The tables of earlier runs, emptied where their reports meant something else.

    Raises:
        sqlite3.Error, OSError: it cannot be used: locked, read-only, no room.
    """
    try:
        return _connected(file, meaning)
    except sqlite3.Error as error:
        if not _rename_if_damaged(file, error):
            raise
    return _connected(file, meaning)


def _connected(file: Path, meaning: str) -> sqlite3.Connection:
    database = sqlite3.connect(file, timeout=LOCKED_S, isolation_level=None)
    try:
        database.executescript(_TABLES)
        database.execute("BEGIN IMMEDIATE")
        if database.execute("SELECT value FROM meaning").fetchall() != [(meaning,)]:
            for table in ("meaning", "files", "pages"):
                database.execute(f"DELETE FROM {table}")
            database.execute("INSERT INTO meaning VALUES (?)", (meaning,))
        database.execute("COMMIT")
        os.utime(file)
    except BaseException:
        database.close()
        raise
    return database


def _rename_if_damaged(file: Path, error: sqlite3.Error) -> bool:
    """Whether the error was one of the file's content, and the file is out of the way now."""
    if isinstance(error, sqlite3.OperationalError | sqlite3.ProgrammingError):
        return False  # it is locked, read-only, or there is no room
    with contextlib.suppress(OSError):
        file.replace(file.with_suffix(".damaged"))
        return True
    return False


def _meaning(max_pixels: int) -> str:
    versions = [f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES]
    return ", ".join([f"reports {COMPUTED}", f"at most {max_pixels} pixels", *versions])


def _version(root: Path, path: str) -> str | None:
    """What changes whenever the file does; None if it cannot be told."""
    try:
        status = reference_path(root, path).stat()
    except (OSError, PageError):
        return None
    if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) < RECENT_NS:
        return None
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"


def _remove_unused(folder: Path) -> None:
    for file in folder.glob("*.sqlite3"):
        if time.time() - file.stat().st_mtime > UNUSED_S:
            file.unlink(missing_ok=True)


def _key(path: str) -> bytes:
    return path.encode("utf-8", "surrogatepass")
