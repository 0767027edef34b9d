"""Rows join and leave a running batch; what becomes of one is its own affair."""

from __future__ import annotations

import logging

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_ocr.inference.scheduler import Row, RowList
from tests.inference.scripted import Lender, ScriptedDecoder, batch_over, embed, play

scripts_of = st.lists(st.lists(st.integers(1, 50), max_size=25), min_size=1, max_size=9)


def rows_of(scripts, prompts=None, budget=1000) -> list[Row]:
    lengths = prompts or [3] * len(scripts)
    return [Row(budget=budget, request=(n, length)) for n, length in enumerate(lengths)]


def lender_of(scripts, **options) -> Lender:
    return Lender(lambda n: ScriptedDecoder(scripts, n, vocabulary=60, **options))


@settings(deadline=None, max_examples=40)
@given(
    scripts=scripts_of,
    num_slots=st.integers(1, 4),
    chunk=st.integers(1, 12),
    burst=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_every_row_gets_its_own_answer_whatever_joins_and_leaves(
    scripts, num_slots, chunk, burst, seed
):
    generator = torch.Generator().manual_seed(seed)
    prompts = torch.randint(1, 20, (len(scripts),), generator=generator).tolist()
    rows = rows_of(scripts, prompts)
    lender = lender_of(scripts)
    batch = batch_over(lender, num_slots, chunk=chunk, burst=burst)
    streamed: dict[Row, list[int]] = {row: [] for row in rows}
    for row, tokens in batch.run(RowList(rows)):
        streamed[row] += tokens
    assert [row.tokens for row in rows] == scripts
    assert [streamed[row] for row in rows] == scripts
    assert {row.ending for row in rows} == {"end"}
    (decoder,) = lender.lent
    assert lender.back == [decoder]
    assert decoder.held == {}
    assert all(len(slots) <= num_slots for _, slots, _ in decoder.calls)
    pieces = [sizes for kind, _, sizes in decoder.calls if kind == "extend"]
    assert all(sum(sizes) <= chunk for sizes in pieces)


def test_a_row_joins_as_soon_as_another_leaves():
    scripts = [[5] * 9, [6], [7, 7]]
    lender = lender_of(scripts)
    list(batch_over(lender, 2).run(RowList(rows_of(scripts))))
    calls = [(kind, slots) for kind, slots, _ in lender.lent[0].calls]
    assert calls[:4] == [("extend", [0, 1]), ("step", [0, 1]), ("step", [0]), ("extend", [1])]
    assert calls[4] == ("step", [0, 1])
    assert len([kind for kind, _ in calls if kind == "step"]) == 9


def test_a_long_prompt_comes_in_pieces_between_the_tokens_of_the_others():
    scripts = [[5] * 9, [6]]
    lender = lender_of(scripts)
    list(batch_over(lender, 2, chunk=4).run(RowList(rows_of(scripts, [2, 11]))))
    calls = [(kind, sizes if kind == "extend" else []) for kind, _, sizes in lender.lent[0].calls]
    assert calls[:6] == [("extend", [2]), ("step", []), ("extend", [4]), ("step", []), ("extend", [4]), ("step", [])]  # fmt: skip
    assert calls[6] == ("extend", [3])


def test_rows_are_taken_only_when_there_is_room():
    scripts = [[3] * 4, [4], [5], [6]]
    rows = rows_of(scripts)

    class Counting(RowList):
        taken = 0

        def take(self, wait):
            row = super().take(wait)
            self.taken += row is not None
            return row

    source = Counting(rows)
    running = 0
    for row, _ in batch_over(lender_of(scripts), 2).run(source):
        running = source.taken - sum(r.ending is not None for r in rows) + (row.ending is not None)
        assert running <= 2
    assert source.taken == 4


def test_a_budget_ends_a_row_and_says_so():
    rows = play([[1, 2, 3, 4], [5, 6]], budget=3)
    assert [row.ending for row in rows] == ["budget", "end"]
    assert rows[0].tokens == [1, 2, 3]
    assert rows[0].reason == "no end within 3 tokens"


def test_a_row_that_failed_before_it_came_is_passed_on():
    rows = rows_of([[1], [2]])
    rows[0].fail("no such picture")
    ended = [r for r, _ in batch_over(lender_of([[1], [2]]), 1).run(RowList(rows)) if r.ending]
    assert ended == rows
    assert [row.ending for row in rows] == ["failed", "end"]


def test_a_row_that_cannot_be_encoded_fails_alone():
    def choosy(rows):
        if any(row.request[0] == 1 for row in rows):
            raise ValueError("the prompt reserves 3 image tokens but the pages produced 4")
        return embed(rows)

    scripts = [[1, 2], [3], [4, 5, 6]]
    rows = rows_of(scripts)
    list(batch_over(lender_of(scripts), 3, embed=choosy).run(RowList(rows)))
    assert [row.ending for row in rows] == ["end", "failed", "end"]
    assert rows[1].reason.startswith("ValueError: the prompt reserves 3 image tokens")
    assert [row.tokens for row in rows] == [[1, 2], [], [4, 5, 6]]


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
    MemoryError(),
]  # fmt: skip


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("fails_at", ["extend", "step"])
def test_out_of_memory_halves_the_rows_at_once_and_goes_on_and_says_so(error, fails_at, caplog):
    scripts = [[10 + n] * (3 + n) for n in range(9)]

    def limited(decoder, rows):
        if rows > 2 and decoder.calls[-1][0] == fails_at:
            raise error

    rows = rows_of(scripts)
    lender = lender_of(scripts, before_work=limited)
    batch = batch_over(lender, 8, chunk=3 if fails_at == "step" else 2048)
    streamed: dict[Row, list[int]] = {row: [] for row in rows}
    with caplog.at_level(logging.WARNING):
        for row, tokens in batch.run(RowList(rows)):
            streamed[row] += tokens
    assert [row.tokens for row in rows] == scripts
    assert [streamed[row] for row in rows] == scripts
    assert batch.num_slots == 2
    assert [decoder.num_slots for decoder in lender.lent] == [8, 4, 2]
    assert lender.dropped == 2
    assert [record.message for record in caplog.records] == [
        "out of memory with up to 8 rows at once; going on with 4",
        "out of memory with up to 4 rows at once; going on with 2",
    ]


def test_out_of_memory_while_encoding_or_for_the_cache_is_the_same():
    scripts = [[1], [2], [3], [4]]

    def make(num_slots):
        if num_slots > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return ScriptedDecoder(scripts, num_slots, vocabulary=60)

    def encode(rows):
        if len(rows) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return embed(rows)

    rows = rows_of(scripts)
    batch = batch_over(Lender(make), 4, embed=encode)
    list(batch.run(RowList(rows)))
    assert [row.tokens for row in rows] == scripts
    assert batch.num_slots == 1


def test_a_row_too_large_for_memory_fails_alone():
    scripts = [[1, 2], [3], [4, 5]]

    def limited(decoder, rows):
        kind, _, sizes = decoder.calls[-1]
        if kind == "extend" and max(sizes) > 50:
            raise MemoryError

    rows = rows_of(scripts, [3, 60, 3])
    list(batch_over(lender_of(scripts, before_work=limited), 4).run(RowList(rows)))
    assert [row.ending for row in rows] == ["end", "failed", "end"]
    assert "not enough memory for this row alone" in rows[1].reason
    assert [row.tokens for row in rows] == [[1, 2], [], [4, 5]]


def test_another_error_is_raised_and_the_slots_are_free():
    def broken(decoder, rows):
        if len(decoder.calls) == 3:
            raise RuntimeError("a bug")

    lender = lender_of([[1] * 5, [2] * 5], before_work=broken)
    with pytest.raises(RuntimeError, match="a bug"):
        list(batch_over(lender, 2).run(RowList(rows_of([[1] * 5, [2] * 5]))))
    assert lender.lent[0].held == {}


def test_a_batch_that_nobody_follows_any_more_frees_its_slots():
    lender = lender_of([[1] * 50])
    run = batch_over(lender, 2).run(RowList(rows_of([[1] * 50])))
    next(run)
    run.close()
    assert lender.back[0].held == {}


def test_the_rows_seconds_add_up_to_the_time_of_the_batch():
    rows = play([[1] * 30, [2] * 10, [3]], num_slots=2)
    assert all(row.seconds > 0 for row in rows)
    assert rows[0].seconds > rows[2].seconds
