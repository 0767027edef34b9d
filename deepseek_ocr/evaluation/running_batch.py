"""Rows through a batch that runs on: one joins when another has ended.

What is read together decides the last digits of what a model computes, so an interrupted test has
to begin where all rows before had ended and none after had begun. The batch therefore runs empty
every few batches' worth of rows, a stretch; and pages are handed over open, so that it is the rows
themselves that decide who meets whom, never how fast a process opens a picture.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, TypeGuard

from ..data.annotations import Annotation
from ..inference.results import PageResult
from .evaluate import Engine, Request, ScoredRow, answer_rows, failed, score_row
from .facts import observer
from .loading import Loaded, PageLoader

BATCHES_A_STRETCH = 4
"""More keep the batch fuller, and cost more rows when a test is interrupted."""


class RunningEngine(Engine, Protocol):
    """What a running batch needs of `deepseek_ocr.inference.engine.OcrEngine`."""

    is_continuous: bool

    def answer(
        self, requests: Iterable[Request], *, max_new_tokens: int, batch_size: int
    ) -> Iterator[tuple[int, PageResult]]:
        """The number of each request with its answer, in order, up to `batch_size` at once."""


def runs_on(engine: Engine) -> TypeGuard[RunningEngine]:
    """Whether an engine answers in a running batch; others answer whole batches."""
    return getattr(engine, "is_continuous", False)


def rows_of_a_stretch(engine: Engine, batch_size: int) -> int:
    """After so many rows, and each multiple, no row is under way: a test can begin again there."""
    return batch_size * (BATCHES_A_STRETCH if runs_on(engine) else 1)


@dataclasses.dataclass(eq=False)
class _Task:
    """A row on its way: its pages, and in the end its result."""

    annotation: Annotation
    pages: Loaded
    result: PageResult | None = None

    @property
    def request(self) -> Request:
        """What the engine is asked; only of a row whose pages could be opened."""
        assert not isinstance(self.pages, str)
        return self.pages, self.annotation.prompt


def evaluate_running(
    annotations: Sequence[Annotation],
    engine: RunningEngine,
    loader: PageLoader,
    *,
    batch_size: int,
    max_new_tokens: int,
) -> Iterator[ScoredRow]:
    """Scored rows in the annotations' order, each as soon as it and those before it have ended."""
    tasks, observe = _opened(annotations, loader), observer(engine)
    size = rows_of_a_stretch(engine, batch_size)
    for _ in range(0, len(annotations), size):
        stretch = itertools.islice(tasks, size)
        for task in _Stretch(engine, stretch, batch_size, max_new_tokens).answered():
            assert task.result is not None
            pages = None if isinstance(task.pages, str) else task.pages
            facts = observe(task.annotation, pages, task.result.mode)
            yield score_row(task.annotation, task.result, facts)


def _opened(annotations: Sequence[Annotation], loader: PageLoader) -> Iterator[_Task]:
    """Rows with their pages, as they are asked for; processes open those of the next ones."""
    ahead = max(1, 2 * loader.num_workers)
    groups = [annotations[start : start + ahead] for start in range(0, len(annotations), ahead)]
    references = ([annotation.images for annotation in group] for group in groups)
    for group, opened in zip(groups, loader.load(references), strict=True):
        yield from itertools.starmap(_Task, zip(group, opened, strict=True))


class _Stretch:
    """Rows that go through one running batch, or through another where the first one broke."""

    def __init__(
        self,
        engine: RunningEngine,
        tasks: Iterator[_Task],
        batch_size: int,
        max_new_tokens: int,
    ):
        self.engine, self.tasks = engine, tasks
        self.batch_size, self.max_new_tokens = batch_size, max_new_tokens
        self._begun: deque[_Task] = deque()
        self._asked: list[_Task] = []
        self._broken: Exception | None = None

    def answered(self) -> Iterator[_Task]:
        """The rows in order. Those under way when the engine raises are asked one by one."""
        is_over = False
        while not is_over:
            self._asked, is_over = [], True
            try:
                for number, result in self._answers():
                    self._asked[number].result = result
                    yield from self._ended()
            except Exception:  # what ends a row alone is recorded in its result
                if not self._asked:  # no row's fault
                    raise
                is_over = False
            if self._broken is not None:
                raise self._broken
            # outside the `except`, whose traceback would keep the broken batch's tensors alive
            left = [task for task in self._asked if task.result is None]
            if left and is_over:
                given, asked = len(self._asked) - len(left), len(self._asked)
                raise RuntimeError(f"the engine gave {given} results for {asked} rows")
            for task in left:
                (task.result,) = answer_rows(self.engine, [task.request], self.max_new_tokens)
            yield from self._ended()

    def _answers(self) -> Iterator[tuple[int, PageResult]]:
        return self.engine.answer(
            self._requests(), max_new_tokens=self.max_new_tokens, batch_size=self.batch_size
        )

    def _requests(self) -> Iterator[Request]:
        """What the engine is asked; rows without pages have failed already."""
        try:
            for task in self.tasks:
                self._begun.append(task)
                if isinstance(task.pages, str):
                    task.result = failed(task.annotation.prompt, reason=task.pages)
                else:
                    self._asked.append(task)
                    yield task.request
        except Exception as error:  # the loader's: no row's fault, and not the end of the rows
            self._broken = error
            raise

    def _ended(self) -> Iterator[_Task]:
        """The rows in front that have a result; their pages are let go."""
        while self._begun and self._begun[0].result is not None:
            task = self._begun.popleft()
            yield task
            task.pages = []
