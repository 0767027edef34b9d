"""Rows that join and leave a running batch: every row its own result, in order, the same each time."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.errors import PageError
from deepseek_ocr.evaluation.evaluate import evaluate
from deepseek_ocr.evaluation.loading import PageLoader
from deepseek_ocr.evaluation.running_batch import (
    BATCHES_A_STRETCH,
    evaluate_running,
    rows_of_a_stretch,
    runs_on,
)
from tests.inference.engines import page, unlike_rows

from .samples import RunningStub, StubEngine, annotations, open_grey

TEXTS = [f"text {number}" for number in range(30)]


def perfect(number: int) -> str:
    return TEXTS[number]


def run(engine, rows, *, batch_size=3, open_page=open_grey, num_workers=0):
    with PageLoader(open_page, num_workers) as loader:
        return list(
            evaluate_running(rows, engine, loader, batch_size=batch_size, max_new_tokens=16)
        )


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_rows_come_in_order_with_their_own_answers(batch_size):
    rows = run(RunningStub(perfect), annotations(TEXTS), batch_size=batch_size)
    assert [row.annotation.id for row in rows] == [f"row-{n}" for n in range(30)]
    assert [row.prediction for row in rows] == TEXTS
    assert all(row.facts.page_sizes == ((30, 20),) for row in rows)


def test_rows_are_asked_in_stretches_that_end_with_nobody_under_way():
    engine = RunningStub(perfect)
    run(engine, annotations(TEXTS), batch_size=3)
    size = 3 * BATCHES_A_STRETCH
    assert rows_of_a_stretch(engine, 3) == size
    assert engine.asked == [size, size, 30 - 2 * size]


def test_a_row_is_there_before_the_last_one_of_its_stretch_is_asked():
    engine = RunningStub(perfect)
    with PageLoader(open_grey) as loader:
        rows = evaluate_running(annotations(TEXTS), engine, loader, batch_size=2, max_new_tokens=16)
        list(itertools.islice(rows, 2))
        assert engine.asked[0] < rows_of_a_stretch(engine, 2)


def test_an_engine_without_a_running_batch_answers_whole_ones():
    assert not runs_on(StubEngine(perfect)) and runs_on(RunningStub(perfect))
    assert rows_of_a_stretch(StubEngine(perfect), 3) == 3


@given(st.sets(st.integers(0, 29)), st.sets(st.integers(0, 29)), st.integers(1, 8))
def test_exactly_the_bad_rows_fail(unreadable, raising, batch_size):
    def open_page(reference):
        if int(reference.removesuffix(".png")) in unreadable:
            raise PageError("unreadable")
        return open_grey(reference)

    def answer(number):
        return ValueError("no") if number in raising else perfect(number)

    rows = run(RunningStub(answer), annotations(TEXTS), batch_size=batch_size, open_page=open_page)
    failed = {number for number, row in enumerate(rows) if row.result.status == "failed"}
    assert [row.annotation.id for row in rows] == [f"row-{n}" for n in range(30)]
    assert failed == unreadable | raising
    assert all(rows[number].result.reason == "unreadable" for number in unreadable)
    assert all(rows[number].result.reason == "ValueError: no" for number in raising - unreadable)


def test_an_interruption_is_not_a_failed_row():
    with pytest.raises(KeyboardInterrupt):
        run(RunningStub(lambda number: KeyboardInterrupt()), annotations(TEXTS))


def test_an_engine_that_loses_rows_is_an_error():
    class Losing(RunningStub):
        def answer(self, requests, **settings):
            return itertools.islice(super().answer(requests, **settings), 2)

    with pytest.raises(RuntimeError, match=r"the engine gave 2 results for \d+ rows"):
        run(Losing(perfect), annotations(TEXTS))


def test_an_engine_that_cannot_begin_is_an_error():
    class Refusing(RunningStub):
        def answer(self, requests, **settings):
            raise TypeError("no")

    with pytest.raises(TypeError, match="no"):
        run(Refusing(perfect), annotations(TEXTS))


@pytest.mark.parametrize("error", [OSError("no more processes"), MemoryError("no")])
@pytest.mark.parametrize("hides", [False, True])
def test_pages_that_no_longer_come_are_an_error_and_not_the_end(error, hides):
    class Ending(PageLoader):
        def load(self, batches):
            yield from itertools.islice(super().load(batches), 5)
            raise error

    class Hiding(RunningStub):
        def answer(self, requests, **settings):
            def asked():  # as an engine that takes the error for its own and goes on with less
                try:
                    yield from requests
                except (OSError, MemoryError):
                    assert hides

            yield from super().answer(asked() if hides else requests, **settings)

    rows = evaluate_running(
        annotations(TEXTS), Hiding(perfect), Ending(open_grey), batch_size=3, max_new_tokens=16
    )
    with pytest.raises(type(error)):
        list(rows)


def test_who_meets_whom_is_the_rows_to_decide_not_the_workers():
    told = [
        [row.prediction for row in run(RunningStub(perfect, tells=True), annotations(TEXTS), num_workers=workers)]
        for workers in (0, 2)
    ]  # fmt: skip
    assert told[0] == told[1]
    assert len(set(told[0])) == 30 and "beside" in told[0][0]


# --- the real engine ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def engine():
    return unlike_rows()


def open_drawn(reference):
    number = int(reference.removesuffix(".png"))
    return page(40 + 23 * number % 160, 30 + 31 * number % 170, number)


def test_the_real_engine_answers_as_in_whole_batches(engine):
    assert runs_on(engine)
    rows = annotations(TEXTS[:13])
    with PageLoader(open_drawn) as loader:
        batches = evaluate(rows, engine, loader, batch_size=4, max_new_tokens=16)
        whole = [row for batch in batches for row in batch]
    running = run(engine, rows, batch_size=4, open_page=open_drawn)
    assert [timeless(row) for row in running] == [timeless(row) for row in whole]
    assert len({row.prediction for row in running}) > 3


def timeless(row):
    return dataclasses.replace(row, result=dataclasses.replace(row.result, seconds=0.0))
