"""Every picture of a dataset opened once, to the end, and its bytes hashed; in worker processes.

Decoders of pictures are large C libraries that meet strange files here: a crash of one of them
becomes a problem of that file.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import multiprocessing
import os
import signal
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import resource_tracker
from pathlib import Path

from ..errors import PageError
from ..files import sha256_of
from ..pictures import MAX_PIXELS
from ..progress import Progress
from .pages import load_page, num_pages, reference_path, split_reference

WORTH_WORKERS = 64  # fewer files are read sooner than worker processes start
FILES_PER_TASK = 8
MANY_PAGES = (".tif", ".tiff", ".pdf")  # whose pages are documents', not an animation's
DRAWN_SIDE = 128  # pixels; enough to see that a PDF page can be drawn


@dataclasses.dataclass(frozen=True, kw_only=True)
class FileReport:
    """A file's SHA-256 ("" if it cannot be read) and, by reference, why a page cannot be used."""

    sha256: str
    faults: Mapping[str, str]


def verify_pictures(
    data_root: Path,
    references: Iterable[str],
    *,
    num_workers: int = 0,
    max_pixels: int = MAX_PIXELS,
    quiet: bool = True,
) -> dict[str, FileReport]:
    """Report by file (relative to `data_root`) of all pages that `references` name.

    With `num_workers` 0 in this process.
    """
    pages: dict[str, list[str]] = defaultdict(list)
    for reference in dict.fromkeys(references):
        pages[split_reference(reference)[0]].append(reference)
    tasks = [_Task(data_root, file, tuple(named), max_pixels) for file, named in pages.items()]
    reports: dict[str, FileReport] = {}
    with Progress(len(tasks), "files", "pictures", quiet=quiet) as progress:
        in_workers = num_workers > 0 and len(tasks) >= WORTH_WORKERS
        results = _run_in_workers(tasks, num_workers) if in_workers else map(_run, tasks)
        for task, report in zip(tasks, results, strict=True):
            reports[task.file] = report
            progress.advance()
    return reports


def available_cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def fingerprints(reports: Mapping[str, FileReport], references: Iterable[str]) -> dict[str, str]:
    """Reference -> a name that two references share if and only if they show the same bytes."""
    found = {}
    for reference in references:
        file, number = split_reference(reference)
        if reports[file].sha256:
            found[reference] = f"{reports[file].sha256}#{number}"
    return found


@dataclasses.dataclass(frozen=True)
class _Task:
    data_root: Path
    file: str
    references: tuple[str, ...]
    max_pixels: int


def _run(task: _Task) -> FileReport:
    faults = {}
    for reference in task.references:
        try:
            _open_to_the_end(task, reference)
        except PageError as error:
            faults[reference] = str(error)
    try:
        sha256 = sha256_of(reference_path(task.data_root, task.file))
    except (OSError, PageError):  # among the faults already
        sha256 = ""
    return FileReport(sha256=sha256, faults=faults)


def _open_to_the_end(task: _Task, reference: str) -> None:
    load_page(task.data_root, reference, max_pixels=task.max_pixels, target_side=DRAWN_SIDE)
    if reference == task.file and reference.lower().endswith(MANY_PAGES):
        count = num_pages(task.data_root, reference, max_pixels=task.max_pixels)
        if count > 1:
            advice = f"name those of the sample, such as {reference}#page=1"
            raise PageError(f"{reference}: holds {count} pages; {advice}")


def _run_many(tasks: Sequence[_Task]) -> list[FileReport]:
    return [_run(task) for task in tasks]


def _run_in_workers(tasks: Sequence[_Task], num_workers: int) -> Iterator[FileReport]:
    chunks = [tasks[i : i + FILES_PER_TASK] for i in range(0, len(tasks), FILES_PER_TASK)]
    done = 0
    while done < len(chunks):
        for reports in _run_until_crash(chunks[done:], num_workers):
            yield from reports
            done += 1
        if done < len(chunks):  # a worker died, on this chunk or on one that ran beside it
            yield from map(_run_alone, chunks[done])
            done += 1


def _run_until_crash(
    chunks: Sequence[Sequence[_Task]], num_workers: int
) -> Iterator[list[FileReport]]:
    """The reports of each chunk in turn, up to the first that a dead worker leaves without."""
    pool = _pool(num_workers)
    try:
        with _held_interrupts():
            futures = [pool.submit(_run_many, chunk) for chunk in chunks]
        for future in futures:
            yield future.result()
    except BrokenProcessPool:
        return
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _run_alone(task: _Task) -> FileReport:
    """The task in a process of its own, to find the file on which a worker died."""
    with _pool(1) as pool:
        try:
            with _held_interrupts():
                future = pool.submit(_run, task)
            return future.result()
        except BrokenProcessPool:
            reason = "the decoder crashed on it; replace the file"
            return FileReport(sha256="", faults={r: f"{r}: {reason}" for r in task.references})


def _pool(num_workers: int) -> concurrent.futures.ProcessPoolExecutor:
    return concurrent.futures.ProcessPoolExecutor(
        num_workers,
        mp_context=multiprocessing.get_context("spawn"),  # fork would copy locks and threads
        initializer=_start_worker,
    )


@contextlib.contextmanager
def _held_interrupts() -> Iterator[None]:
    """Workers begun here take no Ctrl-C while they start; this process takes it afterwards."""
    resource_tracker.ensure_running()  # its own start would let them through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers,
    threading.Thread(target=_follow_parent, daemon=True).start()  # and when killed takes them along


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
