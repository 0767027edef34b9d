"""Boxes against boxes: known pages, the best assignment, and boxes that are none."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.metrics.grounding import (
    add_scores,
    grounding_score,
    iou_matrix,
    matched_ious,
    summarize_grounding,
)

SIDES = st.integers(0, 6)
BOXES = st.tuples(SIDES, SIDES, SIDES, SIDES)
REGIONS = st.lists(st.tuples(st.sampled_from(["text", "table"]), BOXES), max_size=5)
PAGE = [("title", (0, 0, 10, 2)), ("text", (0, 3, 10, 9)), ("text", (0, 10, 10, 19))]


def iou(one, other) -> float:
    """By counting unit squares."""
    first, second = (
        set(itertools.product(range(x1, x2), range(y1, y2))) for x1, y1, x2, y2 in (one, other)
    )
    return len(first & second) / len(first | second) if first and second else 0.0


@given(st.lists(BOXES, min_size=1, max_size=4), st.lists(BOXES, min_size=1, max_size=4))
def test_iou_equals_counted_squares(first, second):
    found = iou_matrix(first, second)
    assert found.shape == (len(first), len(second))
    for (row, one), (column, other) in itertools.product(enumerate(first), enumerate(second)):
        assert found[row, column] == pytest.approx(iou(one, other))


@given(
    st.lists(BOXES, max_size=4), st.lists(BOXES, max_size=4), st.sampled_from([0.1, 0.3, 0.5, 1])
)
def test_no_other_assignment_has_more_pairs_or_as_many_that_fit_better(first, second, threshold):
    found = matched_ious(first, second, threshold)
    shorter, longer = sorted((first, second), key=len)
    best = max(
        (len(kept), sum(kept))
        for order in itertools.permutations(longer, len(shorter))
        for fits in [[iou(*pair) for pair in zip(shorter, order, strict=True)]]
        for kept in [[fit for fit in fits if fit >= threshold]]
    )
    assert (len(found), found.sum()) == (best[0], pytest.approx(best[1]))


def test_the_truth_itself_is_found_in_any_order():
    score = grounding_score(PAGE[::-1], PAGE)
    assert score.overall.to_json() == {
        "precision": 1,
        "recall": 1,
        "f1": 1,
        "mean_iou": 1,
        "num_matched": 3,
        "num_predicted": 3,
        "num_true": 3,
    }


def test_a_known_page():
    predicted = [("text", (0, 3, 10, 8)), ("text", (0, 3, 10, 9)), ("title", (50, 0, 60, 2))]
    score = grounding_score(predicted, PAGE)
    text, title = score.labels["text"], score.labels["title"]
    assert (text.num_matched, text.precision, text.recall, text.mean_iou) == (1, 0.5, 0.5, 1)
    assert (title.precision, title.recall, title.f1, title.mean_iou) == (0, 0, 0, None)
    assert (score.f1, score.mean_iou) == (pytest.approx(1 / 3), 1)


def test_another_label_is_no_match():
    score = grounding_score([("table", (0, 0, 10, 2))], PAGE[:1])
    assert (score.overall.num_matched, score.f1) == (0, 0)


def test_two_boxes_on_one_region_are_one_match():
    box = (0, 0, 10, 10)
    overall = grounding_score([("text", box)] * 3, [("text", box)]).overall
    assert (overall.num_matched, overall.precision, overall.recall) == (1, pytest.approx(1 / 3), 1)


@pytest.mark.parametrize(("threshold", "matched"), [(0.5, 1), (0.50001, 0)])
def test_the_threshold_itself_is_enough(threshold, matched):
    score = grounding_score([("a", (0, 0, 1, 1))], [("a", (0, 0, 1, 2))], iou=threshold)
    assert score.overall.num_matched == matched


@pytest.mark.parametrize(
    "box",
    [
        (5, 0, 0, 5),
        (0, 0, 0, 5),
        (math.nan, 0, 5, 5),
        (0, 0, math.nan, 5),
        (-math.inf, 0, math.inf, 5),
        (0, 0, 10**400, 10**400),
        (-(10**400), 0, -(10**399), 5),
    ],
)
def test_boxes_without_area_or_beyond_all_pages_fit_nothing(box):
    truth = [("a", (0, 0, 5, 5))]
    assert grounding_score([("a", box)], truth).overall.recall == 0
    assert grounding_score([("a", box), *truth], truth).overall.recall == 1


@given(REGIONS, REGIONS)
def test_rates_lie_between_0_and_1_and_change_places_with_the_sides(predicted, truth):
    there, back = grounding_score(predicted, truth), grounding_score(truth, predicted)
    assert there.overall.precision == back.overall.recall
    assert there.f1 == back.f1
    assert there.mean_iou == pytest.approx(back.mean_iou)
    assert there.f1 is None or 0 <= there.f1 <= 1
    assert (there.f1 is None) == (not predicted and not truth)


@given(st.lists(st.tuples(REGIONS, REGIONS), max_size=4), st.randoms())
def test_the_order_of_the_rows_does_not_change_a_summary(pages, chance):
    shuffled = list(pages)
    chance.shuffle(shuffled)
    summaries = [
        summarize_grounding([grounding_score(*page) for page in order])
        for order in (pages, shuffled)
    ]
    assert summaries[0] == summaries[1]


def test_a_summary_names_the_truths_labels_and_counts_the_invented():
    pages = [(PAGE, PAGE), ([("tilte", (0, 0, 1, 1))], PAGE[:1]), ([], [])]
    summary = summarize_grounding([grounding_score(*page) for page in pages])
    assert list(summary["labels"]) == ["text", "title"]
    assert summary["labels"]["title"]["recall"] == 0.5
    assert summary["labels"]["title"]["num_rows"] == 2
    assert summary["overall"]["num_predicted"] == 4
    assert (summary["num_invented_labels"], summary["num_rows"]) == (1, 3)


def test_pictures_of_one_row_are_added_not_mixed():
    box = (0, 0, 5, 5)
    first = grounding_score([("a", box)], [])
    second = grounding_score([], [("a", box)])
    assert add_scores([first, second]).overall.num_matched == 0
    assert add_scores([]).f1 is None


@pytest.mark.parametrize("threshold", [0, -1, 1.1])
def test_a_threshold_that_makes_no_sense_is_refused(threshold):
    with pytest.raises(ValueError, match="iou must lie above 0"):
        grounding_score([], [], iou=threshold)
