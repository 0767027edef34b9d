"""Bootstrap intervals: over documents, repeatable, and the same in any order."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_ocr.metrics.intervals import DocumentBootstrap, _repeated_median


def rows(num_documents: int, pages: int, seed: int = 0):
    """(document, errors, length) of every page; the pages of a document are equally bad."""
    chance = random.Random(seed)
    made = []
    for document in range(num_documents):
        errors = chance.randrange(20)
        made += [(f"document {document}", errors, 100) for _ in range(pages)]
    return made


def intervals(made, seed=42):
    documents, errors, lengths = zip(*made, strict=True)
    bootstrap = DocumentBootstrap(documents, seed=seed)
    rates = [e / n for e, n in zip(errors, lengths, strict=True)]
    return (
        bootstrap.of_ratio(errors, lengths),
        bootstrap.of_ratio(rates, [1] * len(rates)),
        bootstrap.of_median(rates),
    )


def test_the_order_of_the_rows_changes_nothing():
    made = rows(30, 3)
    shuffled = random.Random(1).sample(made, len(made))
    assert intervals(shuffled) == intervals(made)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    made = rows(30, 1)
    assert intervals(made) == intervals(made)
    assert intervals(made) != intervals(made, seed=43)


def test_an_interval_holds_the_score_and_is_not_a_point():
    made = rows(50, 1)
    score = sum(e for _, e, _ in made) / sum(n for _, _, n in made)
    for low, high in intervals(made):
        assert low < score < high


def test_more_pages_of_the_same_documents_do_not_make_a_score_surer():
    assert intervals(rows(20, 1))[0] == pytest.approx(intervals(rows(20, 10))[0])


def test_interval_of_a_mean_is_near_the_normal_approximation():
    chance = np.random.default_rng(0)
    values = chance.normal(0.3, 0.1, size=400)
    bootstrap = DocumentBootstrap([str(i) for i in range(400)], seed=0)
    low, high = bootstrap.of_ratio(values, np.ones(400))
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=2e-3)


def test_one_document_says_nothing_about_others():
    assert intervals(rows(1, 5)) == (None, None, None)
    assert DocumentBootstrap([], seed=0).of_ratio([], []) is None


def test_rows_that_do_not_take_part_have_no_influence():
    bootstrap = DocumentBootstrap(["a", "b", "c"], seed=0)
    assert bootstrap.of_median([0.5, None, 0.5]) == (0.5, 0.5)
    assert bootstrap.of_median([None, None, None]) is None
    assert bootstrap.of_ratio([0, 0, 0], [0, 0, 0]) is None


@settings(max_examples=200)
@given(st.lists(st.tuples(st.floats(0, 10), st.integers(0, 4)), min_size=1, max_size=20))
def test_median_of_repeated_values_equals_the_median_of_the_written_out_list(pairs):
    pairs.sort()
    values, repeats = zip(*pairs, strict=True)
    written_out = np.repeat(values, repeats)
    median = _repeated_median(np.array(values), np.array(repeats))
    if len(written_out):
        assert median == pytest.approx(float(np.median(written_out)))
    else:
        assert median is None


def compared(made, better: float, seed=42):
    """Paired difference of the rows against the same with so much of their errors."""
    documents, errors, lengths = zip(*made, strict=True)
    fewer = [e * better for e in errors]
    return DocumentBootstrap(documents, seed=seed).paired_difference(
        errors, lengths, fewer, lengths
    )


def test_a_difference_is_that_of_the_ratios_and_its_interval_holds_it():
    made = rows(50, 2)
    found = compared(made, better=0.5)
    score = sum(e for _, e, _ in made) / sum(n for _, _, n in made)
    assert found.difference == pytest.approx(score / 2, abs=1e-6)
    assert 0 < found.interval[0] < found.difference < found.interval[1]
    assert found.p_value == pytest.approx(2 / 1001, abs=1e-6)


def test_pairing_sees_a_small_gain_that_two_intervals_cannot_tell_apart():
    made = rows(50, 1)
    documents, errors, lengths = zip(*made, strict=True)
    bootstrap = DocumentBootstrap(documents, seed=0)
    low, high = bootstrap.of_ratio(errors, lengths)
    difference, interval, p_value = compared(made, better=0.95)
    assert difference < (high - low) / 2
    assert interval[0] > 0
    assert p_value < 0.01


def test_a_run_does_not_differ_from_itself():
    assert compared(rows(20, 3), better=1) == (0, (0, 0), 1)


def test_differences_by_chance_alone_are_seldom_sure():
    chance = np.random.default_rng(0)
    ones = np.ones(40)
    names = [str(i) for i in range(40)]
    values = [
        DocumentBootstrap(names, seed=0, num_resamples=200).paired_difference(
            chance.normal(size=40), ones, chance.normal(size=40), ones
        )
        for _ in range(200)
    ]
    assert 0.01 < np.mean([value.p_value < 0.05 for value in values]) < 0.12
    excluding = np.mean([value.interval[0] > 0 or value.interval[1] < 0 for value in values])
    assert excluding < 0.12


def test_swapping_the_runs_changes_the_sign_and_nothing_else():
    made = rows(30, 2)
    documents, errors, lengths = zip(*made, strict=True)
    bootstrap = DocumentBootstrap(documents, seed=1)
    fewer = [e // 2 for e in errors]
    there = bootstrap.paired_difference(errors, lengths, fewer, lengths)
    back = bootstrap.paired_difference(fewer, lengths, errors, lengths)
    assert back.difference == -there.difference
    assert back.interval == pytest.approx((-there.interval[1], -there.interval[0]))
    assert back.p_value == there.p_value


def test_the_order_of_the_rows_does_not_change_a_comparison():
    made = rows(30, 3)
    shuffled = random.Random(1).sample(made, len(made))
    assert compared(shuffled, better=0.9) == compared(made, better=0.9)


def test_without_a_second_document_or_a_ratio_nothing_is_sure():
    assert compared(rows(1, 5), better=0)[1:] == (None, None)
    bootstrap = DocumentBootstrap(["a", "b"], seed=0)
    assert bootstrap.paired_difference([1, 1], [1, 1], [0, 0], [0, 0]) == (None, None, None)
