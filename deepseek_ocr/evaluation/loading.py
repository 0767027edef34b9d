"""Opens the pages of the next rows, in other processes if asked, while the model reads these."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from functools import partial

from PIL import Image

from ..errors import UserError

OpenPage = Callable[[str], Image.Image]
"""A reference such as `a/b.png` or `f.pdf#page=3` -> its page; from a worker it must pickle."""

Loaded = list[Image.Image] | str
"""A row's pages, or the reason why they could not be opened."""


class PageLoader:
    """Batches of rows' references -> batches of rows' pages, in order; a context manager.

    `num_workers` processes open the pages one batch ahead; with 0 this process opens them. Pages
    that kill a worker fail their own row only.
    """

    def __init__(self, open_page: OpenPage, num_workers: int = 0):
        self.open_row = partial(_open_pages, open_page)
        self.num_workers = num_workers
        self.pool = new_pool(num_workers) if num_workers else None

    def __enter__(self) -> PageLoader:
        return self

    def __exit__(self, *_: object) -> None:
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)

    def load(self, batches: Iterable[Sequence[Sequence[str]]]) -> Iterator[list[Loaded]]:
        """For each batch (rows of references) the pages of each row."""
        if self.pool is None:
            for batch in batches:
                yield [self.open_row(references) for references in batch]
            return
        submitted: deque[list[tuple[Sequence[str], Future[Loaded]]]] = deque()
        for batch in batches:
            submitted.append([(references, self._submit(references)) for references in batch])
            if len(submitted) > 1:
                yield [self._pages_of(*task) for task in submitted.popleft()]
        while submitted:
            yield [self._pages_of(*task) for task in submitted.popleft()]

    def _pages_of(self, references: Sequence[str], future: Future[Loaded]) -> Loaded:
        try:
            return future.result()
        except BrokenExecutor:  # these pages, or a neighbour's, killed the worker
            return self._pages_alone(references)

    def _pages_alone(self, references: Sequence[str]) -> Loaded:
        """The pages, opened in a process that no other row can end."""
        with new_pool(1) as pool:
            try:
                return pool.submit(self.open_row, references).result()
            except BrokenExecutor:
                return f"opening {', '.join(references)} ended the process that tried it, twice"

    def _submit(self, references: Sequence[str]) -> Future[Loaded]:
        assert self.pool is not None
        try:
            return self.pool.submit(self.open_row, references)
        except BrokenExecutor:
            self.pool.shutdown(wait=False)
            self.pool = new_pool(self.num_workers)
            return self.pool.submit(self.open_row, references)


def new_pool(num_workers: int) -> ProcessPoolExecutor:
    """Processes that leave interrupts to this one, and end with it."""
    # Spawned, not forked: a fork of a process that runs a model's threads can hang.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(num_workers, context, initializer=_start_worker)


def _start_worker() -> None:
    """Interrupts are the parent's to answer; a worker ends when its parent has died."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _open_pages(open_page: OpenPage, references: Sequence[str]) -> Loaded:
    try:
        return [open_page(reference) for reference in references]
    except Exception as error:  # noqa: BLE001  recorded in the row's result
        return reason_of(error)


def reason_of(error: Exception) -> str:
    """One line that says what went wrong: a user error as it is, another with its type."""
    lines = str(error).strip().splitlines()
    name = type(error).__name__
    if not lines:
        return name
    return lines[0] if isinstance(error, UserError) else f"{name}: {lines[0]}"
