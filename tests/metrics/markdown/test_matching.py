"""Which predicted blocks stand for which true ones."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_ocr.metrics.markdown.matching import match_blocks

RANDOM = random.Random(0)


def words(num_words: int) -> str:
    return "".join(
        "".join(RANDOM.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(6))
        for _ in range(num_words)
    )


ONE, TWO, THREE = words(20), words(20), words(20)


def matched(truths: list[str], predictions: list[str], **options) -> dict:
    matching = match_blocks(truths, predictions, **options)
    return {match.truths: match.predictions for match in matching.matches}


@pytest.mark.parametrize(
    ("truths", "predictions", "expected"),
    [
        ([ONE, TWO], [TWO, ONE], {(0,): (1,), (1,): (0,)}),
        ([ONE, TWO], [ONE], {(0,): (0,), (1,): ()}),
        ([ONE], [ONE, TWO], {(0,): (0,)}),
        ([ONE, TWO], [], {(0,): (), (1,): ()}),
        ([], [ONE], {}),
    ],
)
def test_blocks_are_matched_whatever_their_order(truths, predictions, expected):
    assert matched(truths, predictions) == expected


def test_predictions_that_make_up_one_truth_are_joined():
    assert matched([ONE + TWO, THREE], [ONE, TWO, THREE]) == {(0,): (0, 1), (1,): (2,)}


def test_truths_that_a_prediction_runs_together_share_it():
    assert matched([ONE, TWO, THREE], [ONE + TWO, THREE]) == {(0, 1): (0,), (2,): (1,)}


def test_leftovers_are_paired_however_far_they_are():
    assert matched([ONE, TWO], [ONE, THREE]) == {(0,): (0,), (1,): (1,)}


def test_one_block_on_each_side_is_a_pair():
    assert matched([ONE], [THREE]) == {(0,): (0,)}


def test_a_page_of_too_much_work_is_assigned_once():
    matching = match_blocks([ONE + TWO, THREE], [ONE, TWO, THREE], max_work=0)
    assert matching.is_simple
    assert sorted(match.truths for match in matching.matches) == [(0,), (1,)]


TEXTS = st.lists(st.text(alphabet="ab ", min_size=1, max_size=12), max_size=7)


@settings(deadline=None)
@given(TEXTS, TEXTS)
def test_every_truth_is_in_exactly_one_match(truths, predictions):
    matches = match_blocks(truths, predictions).matches
    placed = [truth for match in matches for truth in match.truths]
    assert sorted(placed) == list(range(len(truths)))
    for match in matches:
        assert all(0 <= number < len(predictions) for number in match.predictions)
