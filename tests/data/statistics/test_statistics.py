"""Figures of lengths and sizes: quantiles, histograms, and what padding costs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.data.statistics.lengths import (
    LengthColumns,
    histogram,
    padding,
    padding_waste,
    quantiles,
)
from deepseek_ocr.resolution import MODES, num_image_tokens, tile_grid

LENGTHS = st.lists(st.integers(0, 10**6), min_size=1, max_size=200)


def numbers(values):
    return np.array(values, dtype=np.int64)


@pytest.mark.parametrize(
    "values, expected",
    [
        ([], (0, 0, 0, 0, 0, 0)),
        ([7], (1, 7, 7, 7, 7, 7)),
        (range(1, 101), (100, 1, 50, 90, 99, 100)),
        ([5, 1, 3], (3, 1, 3, 5, 5, 5)),
    ],
)
def test_quantiles_of_known_values(values, expected):
    found = quantiles(numbers(list(values)))
    assert (found.count, found.min, found.median, found.p90, found.p99, found.max) == expected


@given(LENGTHS)
def test_every_quantile_is_one_of_the_values(values):
    found = quantiles(numbers(values))
    assert {found.min, found.median, found.p90, found.p99, found.max} <= set(values)
    assert found.min <= found.median <= found.p90 <= found.p99 <= found.max == max(values)
    assert found.mean == pytest.approx(sum(values) / len(values))


@given(LENGTHS, st.integers(2, 30))
def test_a_histogram_counts_every_value_once_in_its_bar(values, max_bars):
    shown = histogram(numbers(values), max_bars)
    assert 1 <= len(shown.counts) <= max_bars
    assert sum(shown.counts) == len(values)
    last = len(shown.counts) - 1
    for bar, count in enumerate(shown.counts):
        start = shown.first + bar * shown.width
        is_open = shown.open_end and bar == last
        end = float("inf") if is_open else start + shown.width
        assert count == sum(start <= value < end for value in values)
    if shown.open_end:
        assert 0 < shown.counts[-1] <= 0.01 * len(values)
    assert str(shown.width).lstrip("125").strip("0") == ""


def test_few_long_rows_share_the_last_bar():
    values = numbers([*range(100), *range(100), 50_000])
    shown = histogram(values, 11)
    assert shown.counts == (*[20] * 10, 1)
    assert shown.label(0) == "0-9" and shown.label(10) == "100+"
    assert histogram(numbers([1, 2, 2, 4]), 9).label(1) == "2"
    assert histogram(numbers([])).counts == ()


@pytest.mark.parametrize(
    "lengths, batch_size, waste",
    [
        ([], 2, 0),
        ([5], 4, 0),
        ([1, 9, 1, 9], 1, 0),
        ([1, 9, 1, 9], 2, 16 / 36),
        ([1, 1, 9, 9], 2, 0),
        ([4, 4, 2], 2, 0),
        ([3, 4, 2, 1], 3, 3 / 13),
        ([0, 0], 2, 0),
    ],
)
def test_padding_waste_of_known_lengths(lengths, batch_size, waste):
    assert padding_waste(numbers(lengths), batch_size) == pytest.approx(waste)


@given(LENGTHS, st.integers(1, 9))
def test_padding_waste_is_what_batches_one_by_one_say(lengths, batch_size):
    batches = [lengths[i : i + batch_size] for i in range(0, len(lengths), batch_size)]
    taken = sum(max(batch) * len(batch) for batch in batches)
    expected = 1 - sum(lengths) / taken if taken else 0
    assert padding_waste(numbers(lengths), batch_size) == pytest.approx(expected)


def test_sorting_by_length_wastes_least_of_all_orders():
    lengths = [3, 17, 5, 90, 41, 8]
    least = padding(numbers(lengths), 2)
    orders = itertools.permutations(lengths)
    assert least.sorted == pytest.approx(min(padding_waste(numbers(o), 2) for o in orders))
    assert least.in_order == padding_waste(numbers(lengths), 2)
    assert least == padding(numbers(lengths), 2)  # shuffled, too: the same every time


def test_a_batch_size_below_one_is_refused():
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        padding_waste(numbers([1]), 0)


def test_columns_hold_what_was_added():
    gundam = MODES["gundam"]

    def cost(width, height):
        grid = tile_grid(width, height, gundam)
        return (0 if grid == (1, 1) else grid[0] * grid[1]), num_image_tokens(grid, gundam)

    columns = LengthColumns(cost)
    first = columns.add(
        characters=20, text_tokens=6, other_tokens=8, sizes=[(1654, 2339), (600, 300)]
    )
    second = columns.add(characters=3, text_tokens=1, other_tokens=2, sizes=[])
    assert len(columns) == 2
    image_tokens = [num_image_tokens((2, 3), gundam), num_image_tokens((1, 1), gundam)]
    assert (first, second) == (sum(image_tokens) + 14, 3)
    expected = {
        "characters": [20, 3],
        "text_tokens": [6, 1],
        "pages_a_row": [2, 0],
        "image_tokens_a_row": [sum(image_tokens), 0],
        "positions": [first, second],
        "width": [1654, 600],
        "height": [2339, 300],
        "tiles": [6, 0],
        "image_tokens": image_tokens,
    }
    assert {name: columns.column(name).tolist() for name in expected} == expected
    columns.add(characters=1, text_tokens=1, other_tokens=1, sizes=[])  # still open for more
