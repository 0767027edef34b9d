"""Loops and count-ups are found; what only looks like them is not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_ocr.inference.loops import (
    COUNT_ROWS,
    LONGEST_UNIT,
    LOOP_TOKENS,
    count_up,
    counts_for_ever,
    loop_tail,
    loop_unit,
    why_stuck,
)

ids_lists = st.lists(st.integers(0, 1023), max_size=40)


def letters(text: str) -> list[int]:
    return [ord(letter) for letter in text]


def spell(ids) -> str:
    return "".join(map(chr, ids))


@settings(deadline=None)
@given(
    start=ids_lists,
    unit=st.lists(st.integers(0, 9), min_size=1, max_size=LONGEST_UNIT),
    rest=st.integers(0, LONGEST_UNIT),
)
def test_a_tail_that_repeats_a_unit_is_found(start, unit, rest):
    repeats = (LOOP_TOKENS + 2 * len(unit)) // len(unit) + 2
    ids = start + unit * repeats + unit[: rest % len(unit)]
    found = loop_unit(ids)
    assert found is not None
    assert found <= len(unit)
    tail = loop_tail(found)
    assert ids[-tail:] == ids[-tail - found : -found]


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), length=st.integers(0, 1500))
def test_random_ids_do_not_loop(seed, length):
    assert loop_unit(np.random.default_rng(seed).integers(0, 1000, length)) is None


@settings(deadline=None)
@given(unit=st.integers(1, LONGEST_UNIT), change=st.integers(1, LOOP_TOKENS))
def test_one_changed_token_within_reach_is_no_loop(unit, change):
    ids = list(range(unit)) * ((LOOP_TOKENS + unit) // unit + 3)
    ids[-change] = 5000
    assert loop_unit(ids) is None


@settings(deadline=None)
@given(unit=st.integers(1, LONGEST_UNIT))
def test_a_tail_one_token_too_short_is_no_loop(unit):
    length = loop_tail(unit) + unit
    ids = (list(range(unit)) * (length // unit + 1))[:length]
    assert loop_unit(ids) == unit
    assert loop_unit(ids[1:]) is None


def test_a_unit_longer_than_the_longest_is_no_loop():
    assert loop_unit(list(range(LONGEST_UNIT + 1)) * 8) is None


@settings(deadline=None)
@given(
    start=st.text("abc ", max_size=20),
    first=st.integers(0, 10_000),
    item=st.sampled_from(["{n}\n", "{n}. ", "Figure {n}: as in figure {m}, 1999.\n", "({n}) "]),
    items=st.integers(3, 60),
    direction=st.sampled_from([1, -1]),
)
def test_a_count_up_is_found_with_its_items(start, first, item, items, direction):
    numbers = [first + 20_000 + direction * i for i in range(items)]
    text = start + "".join(item.format(n=n, m=n + 3) for n in numbers)
    found, covered = count_up(text)
    assert items - 2 <= found <= items
    assert covered >= sum(len(item.format(n=n, m=n + 3)) for n in numbers[2:])
    assert covered <= len(text)


@pytest.mark.parametrize("text", ["", "1", "no numbers", "1 2", "3 1 4 1 5 9 2 6 5 3 5 8 9 7 9", "7 7 7 7 7 7 7 7 7", "2 4 6 8 10 12 14 16", "1 a 2 b 3 c 4 d", "1 2 3 4 5 6 7 and then the text goes on"])  # fmt: skip
def test_what_does_not_count_is_no_count_up(text):
    assert count_up(text)[0] <= 1


@given(st.text("0123456789 .\n|", max_size=300))
def test_any_text_may_be_looked_at(text):
    items, covered = count_up(text)
    assert 0 <= items <= len(text)
    assert 0 <= covered <= len(text)


def test_a_number_of_any_length_may_be_looked_at():
    assert count_up("1" * 10_000)[0] >= 0


LIST = "".join(f"{number}. \n" for number in range(1, 400))


def test_a_count_up_must_fill_the_tail():
    assert counts_for_ever(letters(LIST), spell) is not None
    assert counts_for_ever(letters(LIST[:700]), spell) is None
    assert counts_for_ever(letters("text without an end " * 10 + LIST[:700]), spell) is None


def test_few_long_items_are_no_count_up():
    item = "Question {n}: " + "which of these is right? " * 5
    few = "".join(item.format(n=n) for n in range(1, 7))
    assert len(few) > 800
    assert counts_for_ever(letters(few), spell) is None


@pytest.mark.parametrize("row", ["<tr><td>{n}</td><td></td></tr>", "| {n} | | |\n"])
def test_a_table_may_have_hundreds_of_rows_that_differ_in_numbers_alone(row):
    honest = "".join(row.format(n=n) for n in range(1, 301))
    assert counts_for_ever(letters(honest), spell) is None
    endless = "".join(row.format(n=n) for n in range(1, COUNT_ROWS + 10))
    assert counts_for_ever(letters(endless), spell) is not None


def test_only_what_is_due_is_looked_for():
    loop = [3, 4] * 200
    assert why_stuck(loop[:288], spell, before=287) == "the last 256 tokens repeat a unit of 2"
    assert why_stuck(loop[:289], spell, before=288) is None
    assert why_stuck(loop[:289], spell) == "the last 256 tokens repeat a unit of 2"
    assert why_stuck(letters(LIST), spell).endswith("items differ only in numbers that count on")
