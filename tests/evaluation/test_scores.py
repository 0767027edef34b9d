"""Every family of scores takes part where the truth says so, whatever was answered."""

from __future__ import annotations

import dataclasses
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_ocr.data.annotations import Region
from deepseek_ocr.evaluation import scoring
from deepseek_ocr.evaluation.predictions import json_line
from deepseek_ocr.evaluation.scores import ToScore, score_everything, score_texts
from deepseek_ocr.evaluation.scoring import in_processes, score_all
from deepseek_ocr.evaluation.summary import summarize
from deepseek_ocr.metrics.normalization import REPORTED, normalizer
from deepseek_ocr.metrics.text import text_score

from .samples import scored

ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=60)  # with lone surrogates
TABLE = "# A\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
GROUNDED = "<|ref|>title<|/ref|><|det|>[[10, 20, 500, 60]]<|/det|>\nThe title"


def scores_of(prediction, truth, **more):
    return score_everything(ToScore(prediction=prediction, truth=truth, **more))


@pytest.mark.parametrize(
    ("truth", "families"),
    [
        ("a cat", set()),
        ("", set()),
        (TABLE, {"markdown"}),
        ('{"total": "1.00"}', {"fields"}),
        ("{ this is no JSON", set()),
        (GROUNDED, {"grounding"}),
    ],
)
def test_a_family_takes_part_where_the_truth_has_what_it_scores(truth, families):
    for prediction in (truth, "", "something else", TABLE, GROUNDED):
        scores = scores_of(prediction, truth)
        taking_part = {
            name for name in ("markdown", "fields", "grounding") if getattr(scores, name)
        }
        assert taking_part == families


@pytest.mark.parametrize(
    ("truth", "expected"),
    [
        (TABLE, {"teds": 1, "teds_s": 1, "text_edit": 0}),
        ('{"total": "1.00"}', {"field_f1": 1, "tree_edit_accuracy": 1}),
        (GROUNDED, {"grounding_f1": 1, "mean_iou": 1}),
        ("one two three four", {"bag_of_words": 0, "bleu": 1, "fox_f1": 1, "grapheme_errors": 0}),
    ],
)
def test_the_truth_itself_is_the_best_answer(truth, expected):
    figures = scores_of(truth, truth).to_json()
    assert {name: figures[name] for name in expected} == pytest.approx(expected)


def test_boxes_beside_the_text_are_compared_where_the_prompt_asks_for_boxes():
    region = Region(label="title", box=(20.0, 20.0, 1000.0, 60.0))
    row = {"regions": (region,), "page_sizes": ((1998, 999),)}
    asked = scores_of(GROUNDED, "The title", prompt="<image>\n<|grounding|>x", **row)
    assert asked.to_json()["mean_iou"] == pytest.approx(1)
    assert scores_of(GROUNDED, "The title", prompt="<image>\nFree OCR.", **row).grounding is None


def test_lines_without_labels_are_matched_by_their_boxes_alone():
    line = "<|ref|>{}<|/ref|><|det|>[[10, 20, 500, 60]]<|/det|>"
    figures = scores_of(line.format("Tot4l"), line.format("Total")).to_json()
    assert figures["grounding_f1"] == 1


@settings(max_examples=60)
@given(ANY_TEXT, ANY_TEXT)
def test_any_answer_to_any_truth_has_scores_that_json_can_hold(prediction, truth):
    json.loads(json_line(scores_of(prediction, truth).to_json()))


@given(ANY_TEXT, ANY_TEXT)
def test_each_normalisation_is_applied_to_both_texts(prediction, truth):
    scores = score_texts(prediction, truth)
    assert tuple(scores) == REPORTED
    for name, score in scores.items():
        apply = normalizer(name)
        assert score == text_score(apply(prediction), apply(truth))


def rows(count=40):
    truths = [TABLE, '{"a": [1, 2]}', GROUNDED, "a cat", ""]
    return [scored(truths[n % 5][: n % 9], truths[n % 5], number=n) for n in range(count)]


def test_many_rows_have_the_same_scores_from_several_processes(monkeypatch):
    alone = score_all(rows(), quiet=True)
    monkeypatch.setattr(scoring, "WORTH_PROCESSES", 0)
    monkeypatch.setattr(scoring, "num_cores", lambda: 2)
    monkeypatch.setattr(scoring, "ROWS_A_TASK", 3)
    assert score_all(rows(), quiet=True) == alone


def test_what_is_scored_in_processes_comes_in_order(monkeypatch):
    monkeypatch.setattr(scoring, "num_cores", lambda: 2)
    monkeypatch.setattr(scoring, "ROWS_A_TASK", 2)
    texts = [str(n) * n for n in range(20)]
    assert list(in_processes(len, texts, 10**9)) == [len(text) for text in texts]


def end_the_process_unless_it_is(number: int) -> int:
    """Of another process than that of this number, the end."""
    if os.getpid() != number:
        os._exit(9)
    return number


def test_where_processes_end_this_one_goes_on(monkeypatch):
    monkeypatch.setattr(scoring, "num_cores", lambda: 2)
    here = [os.getpid()] * 200
    assert list(in_processes(end_the_process_unless_it_is, here, 10**9)) == here


def test_a_summary_has_every_family_of_its_rows():
    summary = summarize(rows(), seed=0)
    assert summary["markdown"]["teds"]["num_rows"] == 8
    assert summary["markdown"]["num_rows"] == 8
    assert summary["fields"]["num_rows"] == summary["grounding"]["num_rows"] == 8
    assert summary["graphemes"]["cer"]["micro"] == summary["scores"]["raw"]["cer"]["micro"]
    plain = summarize([scored("a", "b")], seed=0)
    assert plain["markdown"] is plain["fields"] is plain["grounding"] is None


def test_a_failed_row_has_the_scores_of_an_empty_answer():
    truth = TABLE
    failed = score_all([scored(truth, truth, status="failed")], quiet=True)[0]
    empty = score_all([scored("", truth)], quiet=True)[0]
    assert dataclasses.asdict(failed.scores) == dataclasses.asdict(empty.scores)
