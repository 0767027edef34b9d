"""Scores of JSON answers: Donut's definitions on known pairs, and answers that are no JSON."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.metrics import fields
from deepseek_ocr.metrics.fields import (
    UnreadableError,
    field_score,
    read_json,
    summarize_fields,
)

MENU = {
    "menu": [{"name": "cake", "count": "2"}, {"name": "juice", "count": "1"}],
    "total": {"price": "9.50"},
}

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=3), VALUES, max_size=4)


def score(prediction, truth=MENU):
    return field_score(json.dumps(prediction), json.dumps(truth))


def counts(found):
    return found.true_positives, found.false_positives, found.false_negatives


def test_the_truth_itself_is_perfect_in_any_order_of_keys():
    turned = {"total": MENU["total"], "menu": [dict(reversed(i.items())) for i in MENU["menu"]]}
    for prediction in (MENU, turned):
        found = score(prediction)
        assert counts(found) == (5, 0, 0)
        assert (found.f1, found.tree_edit_accuracy, found.exact) == (1, 1, True)


WEIGHT = 2 + 3 + 5 + (4 + 1 + 5 + 1 + 4)
"""Of the tree of MENU: its two keys, three objects, five keys of fields, and the fields' texts."""


@pytest.mark.parametrize(
    ("prediction", "expected", "distance"),
    [
        ({}, (0, 0, 5), WEIGHT),
        ({**MENU, "total": {"price": "9.40"}}, (4, 1, 1), 1),
        ({"menu": MENU["menu"]}, (4, 0, 1), 1 + 1 + 1 + 4),
        ({**MENU, "tax": "0"}, (5, 1, 0), 2),
        ({**MENU, "menu": MENU["menu"][::-1]}, (5, 0, 0), 10),
        ({**MENU, "total": {"sum": "9.50"}}, (4, 1, 1), 1),
        ([MENU], (5, 0, 0), 1),
        ({"text": "x" * 500}, (0, 1, 5), WEIGHT),
    ],
)
def test_known_answers(prediction, expected, distance):
    found = score(prediction)
    assert counts(found) == expected
    assert found.tree_edit_accuracy == pytest.approx(1 - distance / WEIGHT)
    assert not found.exact


def test_values_are_texts_without_blanks_at_the_ends_and_empty_ones_do_not_count():
    assert score({"a": " 12 ", "b": "", "c": None, "d": [], "e": {}}, {"a": 12}).exact
    assert counts(score({"a": "true"}, {"a": True})) == (1, 0, 0)
    assert counts(score({"a": 1}, {"a": 0})) == (0, 1, 1)


def test_a_value_counts_as_often_as_it_stands_there():
    assert counts(score({"a": ["x", "x", "y"]}, {"a": ["x", "z"]})) == (1, 2, 1)


def test_lists_may_mix_objects_lists_and_texts():
    mixed = {"a": ["x", {"b": "y"}, ["z"]]}
    assert score(mixed, mixed).true_positives == 3


def test_a_key_with_a_dot_is_not_a_path():
    assert counts(score({"a.b": "x"}, {"a": {"b": "x"}})) == (0, 1, 1)


@pytest.mark.parametrize("truth", ["", "text", '"text"', "12", "[12]", "[]", "[[]]", "{", "null"])
def test_a_truth_that_is_no_object_is_not_scored(truth):
    assert field_score("{}", truth) is None


@pytest.mark.parametrize(
    ("prediction", "reason"),
    [
        ("", "does not begin as a JSON object"),
        ("The total is 9.50", "does not begin as a JSON object"),
        ('{"total": {"price": ', "is no JSON: Expecting value"),
        ('{"total": NaN}', "NaN is no number"),
        ('```json\n{"a": 1}\n```', "does not begin"),
        ('{"a":' * 100_000, "nested more than 64 deep"),
        ("[" * 100_000 + "]" * 100_000, "nested more than 64 deep"),
        ('["' + '\\"' * 400_000, "is no JSON"),
        ("[" + " " * 1_000_000 + "]", "1,000,002 characters"),
    ],
)
def test_an_answer_that_cannot_be_read_misses_every_field_and_says_why(prediction, reason):
    found = field_score(prediction, json.dumps(MENU))
    assert counts(found) == (0, 0, 5)
    assert (found.tree_edit_accuracy, found.exact, found.f1) == (0, False, 0)
    assert reason in found.reason


def test_brackets_within_texts_are_not_depth():
    assert field_score(json.dumps({"a": "[" * 1000}), '{"a": "["}').reason is None


def test_numbers_of_any_length_are_read():
    assert score({"a": 1}, {"a": 1}).exact
    digits = "9" * 10_000
    assert field_score(f'{{"a": {digits}}}', f'{{"a": "{digits}"}}').exact
    assert field_score('{"a": 1e999}', '{"a": "inf"}').exact


def test_an_empty_object_is_matched_by_an_empty_one_only():
    nothing = score({"a": ""}, {})
    assert (nothing.f1, nothing.tree_edit_accuracy, nothing.exact) == (None, 1, True)
    assert score({"a": "b"}, {}).tree_edit_accuracy == 0


@given(OBJECTS, OBJECTS)
def test_any_two_objects_have_scores_between_0_and_1(prediction, truth):
    found = score(prediction, truth)
    assert found.reason is None
    if found.exact:
        assert found.f1 in (1, None)
        assert found.tree_edit_accuracy == 1
    else:
        assert 0 <= found.tree_edit_accuracy < 1


@given(st.text() | st.text('{}[]":,\\ 1a'))
def test_any_text_is_read_or_refused(text):
    try:
        value = read_json(text)
    except UnreadableError:
        return
    assert value == json.loads(text)


def test_a_truth_too_large_for_a_tree_still_has_its_fields(monkeypatch):
    monkeypatch.setattr(fields, "MAX_NODES", 20)
    large = {"rows": [{"a": "1"} for _ in range(10)]}
    found = score(large, large)
    assert (found.true_positives, found.tree_edit_accuracy) == (10, None)
    assert summarize_fields([found])["num_too_large"] == 1


def test_an_answer_too_large_for_a_tree_scores_0(monkeypatch):
    monkeypatch.setattr(fields, "MAX_NODES", 16)
    found = score({**MENU, "more": ["a"] * 20})
    assert (found.true_positives, found.tree_edit_accuracy) == (5, 0)


def test_a_summary_adds_fields_and_averages_trees():
    scores = [score(MENU), score({}), field_score("no", json.dumps(MENU)), score({"tax": "1"})]
    assert summarize_fields(scores) == {
        "f1": pytest.approx(2 * 5 / (2 * 5 + 1 + 15)),
        "precision": pytest.approx(5 / 6),
        "recall": pytest.approx(5 / 20),
        "tree_edit_accuracy": pytest.approx(
            sum(s.tree_edit_accuracy for s in scores) / len(scores)
        ),
        "exact": 0.25,
        "num_rows": 4,
        "num_unreadable": 1,
        "num_too_large": 0,
    }
    shuffled = random.Random(0).sample(scores, len(scores))
    assert summarize_fields(shuffled) == summarize_fields(scores)
    assert summarize_fields([])["f1"] is None
