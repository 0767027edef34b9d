"""Every picture of a dataset opened once, to the end, and its bytes hashed; in worker processes.

Decoders of pictures are large C libraries that meet strange files here: a crash of one of them, or
a file that it never comes to the end of, becomes a problem of that file.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path

from ...pictures import MAX_PIXELS
from ...progress import Progress
from .cache import InspectionCache, cache_folder
from .one_file import FileReport, Found, Inspection, PageReport, inspect
from .reports import PictureReports
from .workers import Crash, inspect_in_workers

__all__ = [
    "FileReport",
    "PageReport",
    "PictureReports",
    "available_cores",
    "cache_folder",
    "verify_pictures",
]

WORTH_CACHE = 64  # fewer pages are opened again before anybody minds
PAGES_A_WORKER = 8  # fewer are read sooner than another worker starts
MOST_CRASHES = 3  # of workers on one file, before the rest of it is given up


def verify_pictures(
    data_root: Path,
    references: Iterable[str],
    *,
    num_workers: int = 0,
    max_pixels: int = MAX_PIXELS,
    quiet: bool = True,
    cache: Path | None = None,
) -> PictureReports:
    """The reports of all pages that `references` name, and of their files.

    `f.pdf#page=*` names all pages of a file: each has a report under `f.pdf#page=N`. With
    `num_workers` 0 in this process, without its protection. `cache`: the folder in which reports
    are kept for the next run, such as `cache_folder()`; None: nowhere.

    Raises:
        PageError: a reference that is none; all else that is wrong is in the reports.
        KeyboardInterrupt: saying so where the next run goes on from here.
    """
    reports = PictureReports()
    try:
        reports.expect(references)
        num_pages = reports.num_waiting()
        if num_pages < WORTH_CACHE:
            cache = None
        with (
            InspectionCache(cache, data_root, max_pixels) as known,
            Progress(num_pages, "pages", "pictures", quiet=quiet or not num_pages) as progress,
        ):
            verification = _Verification(reports, known, progress)
            while num_waiting := reports.num_waiting():  # pages turn up when a file is opened
                progress.extend(progress.count + num_waiting)
                tasks = verification.tasks()
                num_needed = min(num_workers, -(-num_waiting // PAGES_A_WORKER))
                inspected = _inspected(tasks, data_root, max_pixels, num_needed)
                with contextlib.closing(inspected):  # ends the workers, whatever happens
                    for path, found in inspected:
                        verification.take(path, found)
    except BaseException as error:
        reports.close()
        if isinstance(error, KeyboardInterrupt) and cache is not None:
            raise KeyboardInterrupt("the same command goes on where it stopped") from None
        raise
    return reports


def available_cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _inspected(
    tasks: Iterator[Inspection], data_root: Path, max_pixels: int, num_workers: int
) -> Generator[tuple[str, Found | Crash]]:
    if num_workers:
        yield from inspect_in_workers(tasks, data_root, max_pixels, num_workers)
        return
    for task in tasks:
        for found in inspect(task, data_root, max_pixels):
            yield task.path, found


class _Verification:
    """Brings what is found to the reports, to the cache and onto the screen."""

    def __init__(self, reports: PictureReports, known: InspectionCache, progress: Progress):
        self.reports, self.known, self.progress = reports, known, progress
        self.crashes: Counter[str] = Counter()

    def tasks(self) -> Iterator[Inspection]:
        """What neither the reports nor the cache know."""
        for task in self.reports.tasks():
            found, left = self.known.recall(task)
            for report in found:
                self._add(task.path, report)
            if left is not None:
                yield left

    def take(self, path: str, found: Found | Crash) -> None:
        """A report, or a crash, which stands for several."""
        if not isinstance(found, Crash):
            self.known.keep(path, found)
            self._add(path, found)
            return
        self.crashes[path] += 1
        if found.part is None:
            self._add(path, FileReport(fault=found.fault))
            self.progress.advance(self.reports.give_up(path, found.fault))
            return
        self._add(path, (found.part, PageReport(fault=found.fault)))
        if self.crashes[path] == MOST_CRASHES:
            fault = f"{path}: not looked at, as {MOST_CRASHES} other pages of it made it crash"
            self.progress.advance(self.reports.give_up(path, fault))

    def _add(self, path: str, found: Found) -> None:
        self.reports.add(path, found)
        if not isinstance(found, FileReport):
            self.progress.advance()
