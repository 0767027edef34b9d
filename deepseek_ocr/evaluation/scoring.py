"""Answered rows -> rows with all their scores, shared out over processes where there are many."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Future, ProcessPoolExecutor
from typing import TypeVar

from ..progress import Progress
from .evaluate import ScoredRow
from .loading import new_pool
from .scores import score_everything, to_score

T = TypeVar("T")
R = TypeVar("R")

ROWS_A_TASK = 32
WORTH_PROCESSES = 3_000_000
"""Characters of all texts; fewer are scored before a process has started."""


def score_all(rows: Sequence[ScoredRow], *, quiet: bool = False) -> list[ScoredRow]:
    """The rows with `scores`, in their order."""
    inputs = (to_score(r.annotation, r.prediction, r.facts.page_sizes) for r in rows)
    num_characters = sum(len(row.prediction) + len(row.truth) for row in rows)
    scored = []
    with Progress(len(rows), "rows", "scores", quiet=quiet, passing=True) as progress:
        all_scores = in_processes(score_everything, inputs, num_characters)
        for row, scores in zip(rows, all_scores, strict=True):
            scored.append(dataclasses.replace(row, scores=scores))
            progress.advance()
    return scored


def in_processes(
    function: Callable[[T], R], values: Iterable[T], num_characters: int
) -> Iterator[R]:
    """`map(function, values)`, in as many processes as there are cores if it is worth it.

    A few tasks are under way at a time, so that memory does not grow with the number of values.
    """
    num_processes = num_cores()
    if num_characters < WORTH_PROCESSES or num_processes < 2:
        yield from map(function, values)
        return
    under_way: deque[tuple[list[T], Future[list[R]]]] = deque()
    pool = new_pool(num_processes)
    try:
        for task in batched(values, ROWS_A_TASK):
            under_way.append((task, _submitted(pool, function, task)))
            if len(under_way) > 2 * num_processes:
                yield from _result(function, *under_way.popleft())
        while under_way:
            yield from _result(function, *under_way.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _submitted(
    pool: ProcessPoolExecutor, function: Callable[[T], R], task: list[T]
) -> Future[list[R]]:
    try:
        return pool.submit(apply_to_all, function, task)
    except BrokenExecutor as error:
        broken: Future[list[R]] = Future()
        broken.set_exception(error)
        return broken


def _result(function: Callable[[T], R], task: list[T], future: Future[list[R]]) -> list[R]:
    """What a process found; where processes cannot start or were ended, found here."""
    try:
        return future.result()
    except (BrokenExecutor, CancelledError):
        return apply_to_all(function, task)


def num_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux alone has it
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def apply_to_all(function: Callable[[T], R], values: Sequence[T]) -> list[R]:
    """What a process does at a time."""
    return [function(value) for value in values]


def batched(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """The values in lists of `size`, the last one perhaps shorter."""
    iterator = iter(values)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
