"""Every annotation becomes one scored row, whatever happens to it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_ocr.errors import PageError
from deepseek_ocr.evaluation.evaluate import evaluate, score_row
from deepseek_ocr.evaluation.loading import PageLoader

from .samples import StubEngine, annotations, open_grey, result

TEXTS = [f"text {number}" for number in range(7)]


def run(engine, rows, *, batch_size=3, open_page=open_grey):
    batches = evaluate(
        rows, engine, PageLoader(open_page), batch_size=batch_size, max_new_tokens=16
    )
    return [row for batch in batches for row in batch]


def perfect(number: int) -> str:
    return TEXTS[number]


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_rows_come_in_order_with_their_own_answers(batch_size):
    rows = run(StubEngine(perfect), annotations(TEXTS), batch_size=batch_size)
    assert [row.annotation.id for row in rows] == [f"row-{n}" for n in range(7)]
    assert [row.prediction for row in rows] == TEXTS
    assert all(row.score.exact for row in rows)


def test_batches_are_cut_by_row_order():
    engine = StubEngine(perfect)
    run(engine, annotations(TEXTS), batch_size=3)
    assert engine.batch_sizes == [3, 3, 1]


def test_a_row_that_raises_does_not_fail_its_batch_mates():
    def answer(number):
        return RuntimeError("out of memory\nwith details") if number == 1 else perfect(number)

    rows = run(StubEngine(answer), annotations(TEXTS), batch_size=3)
    assert [row.result.status for row in rows] == ["ok", "failed", *["ok"] * 5]
    assert rows[1].result.reason == "RuntimeError: out of memory"
    assert (rows[1].prediction, rows[1].score.cer) == ("", 1.0)


def test_a_page_that_cannot_be_opened_does_not_fail_its_batch_mates():
    def open_page(reference):
        if reference == "2.png":
            raise PageError("2.png: is cut off; expected a whole PNG")
        return open_grey(reference)

    engine = StubEngine(perfect)
    rows = run(engine, annotations(TEXTS), batch_size=3, open_page=open_page)
    assert [row.result.status for row in rows] == ["ok", "ok", "failed", *["ok"] * 4]
    assert rows[2].result.reason == "2.png: is cut off; expected a whole PNG"
    assert engine.batch_sizes == [2, 3, 1]


@settings(max_examples=50, deadline=None)
@given(st.sets(st.integers(0, 6)), st.sets(st.integers(0, 6)), st.integers(1, 8))
def test_exactly_the_bad_rows_fail(unreadable, raising, batch_size):
    def open_page(reference):
        if int(reference.removesuffix(".png")) in unreadable:
            raise PageError("unreadable")
        return open_grey(reference)

    def answer(number):
        return ValueError("no") if number in raising else perfect(number)

    rows = run(StubEngine(answer), annotations(TEXTS), batch_size=batch_size, open_page=open_page)
    failed = {number for number, row in enumerate(rows) if row.result.status == "failed"}
    assert len(rows) == 7
    assert failed == unreadable | raising


def test_an_interruption_is_not_a_failed_row():
    with pytest.raises(KeyboardInterrupt):
        run(StubEngine(lambda number: KeyboardInterrupt()), annotations(TEXTS))


def test_an_engine_that_loses_rows_is_an_error():
    class Losing(StubEngine):
        def generate(self, rows, *, max_new_tokens):
            return super().generate(rows, max_new_tokens=max_new_tokens)[1:]

    with pytest.raises(RuntimeError, match="2 results for 3 rows"):
        run(Losing(perfect), annotations(TEXTS))


def test_a_failed_row_is_scored_as_an_empty_answer_whatever_it_produced():
    (annotation,) = annotations(["truth"])
    row = score_row(annotation, result("truth", "failed", "stopped"))
    assert (row.prediction, row.score.cer, row.score.exact) == ("", 1.0, False)


@pytest.mark.parametrize("status", ["ok", "empty", "truncated", "repetition"])
def test_other_rows_are_scored_as_they_answered(status):
    (annotation,) = annotations(["truth"])
    assert score_row(annotation, result("truth", status)).score.exact


def test_a_row_in_json_has_the_keys_of_the_contract():
    (annotation,) = annotations(["truth"])
    row = score_row(annotation, result("trut")).to_json()
    expected = {"id", "images", "prediction", "text", "status", "reason", "num_tokens", "seconds"}
    assert expected | {"cer", "wer", "similarity", "exact"} <= set(row)
    assert (row["id"], row["images"], row["cer"]) == ("row-0", ["0.png"], 0.2)


def test_rows_without_a_group_are_documents_of_their_own():
    rows = run(StubEngine(perfect), annotations(TEXTS, ["a", "a", None, None, "row-2", "b", ""]))
    documents = [row.document for row in rows]
    assert documents[0] == documents[1]
    assert len(set(documents)) == 6
