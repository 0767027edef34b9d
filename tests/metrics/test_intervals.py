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
