"""Scores of a page of Markdown."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_ocr.metrics.markdown import (
    MarkdownScore,
    has_structure,
    page_score,
    summarize_markdown,
)
from deepseek_ocr.metrics.markdown import page as page_module
from deepseek_ocr.metrics.markdown.order import order_distance

from .published import documents, needs_documents

TABLE = "<table><tr><td>1</td><td>2</td></tr></table>"
FIRST = "The first paragraph of the page, which is long enough."
SECOND = "Quite another one: it speaks of mathematics and of birds."
PAGE = f"# Heading\n\n{FIRST}\n\n{TABLE}\n\n{SECOND}\n\n\\[ E = mc^2 \\]"


def test_a_perfect_answer_is_perfect():
    score = page_score(PAGE, PAGE)
    assert (score.text_edit, score.formula_edit, score.order_edit) == (0, 0, 0)
    assert (score.teds, score.teds_s) == (1, 1)
    assert score.problems == ()


def test_an_empty_answer_fails_in_all():
    score = page_score("", PAGE)
    assert (score.text_edit, score.formula_edit, score.order_edit) == (1, 1, 1)
    assert (score.teds, score.teds_s) == (0, 0)
    assert score.problems == ("no table for it in the prediction",)


def test_labels_boxes_and_another_notation_do_not_count():
    marked = PAGE.replace(
        "# Heading", "<|ref|>title<|/ref|><|det|>[[1, 2, 3, 4]]<|/det|>\n# Heading"
    )
    other = marked.replace(TABLE, "| 1 | 2 |\n|---|---|").replace("\\[", "$$").replace("\\]", "$$")
    assert page_score(other, PAGE) == page_score(PAGE, PAGE)


def test_swapped_paragraphs_are_wrong_in_order_alone():
    swapped = PAGE.replace(FIRST, "X").replace(SECOND, FIRST).replace("X", SECOND)
    score = page_score(swapped, PAGE)
    assert score.text_edit == 0
    assert score.order_edit == pytest.approx(2 / 3)  # of heading and two paragraphs two are wrong


def test_what_a_truth_does_not_hold_has_no_score():
    score = page_score(PAGE, FIRST)
    assert (score.formula_edit, score.teds) == (None, None)
    assert page_score("", "").text_edit is None


def test_a_latex_table_scores_nothing_and_says_why():
    score = page_score(r"\begin{tabular}{ll} 1 & 2 \end{tabular}", TABLE)
    assert score.teds == 0
    assert "LaTeX" in score.problems[0]


def test_an_answer_that_breaks_the_comparison_counts_as_empty_and_says_why(monkeypatch):
    def broken(markdown):
        raise RecursionError("too deep")

    truth_blocks = page_module.true_blocks(PAGE)
    monkeypatch.setattr(page_module, "true_blocks", lambda markdown: truth_blocks)
    monkeypatch.setattr(page_module, "split_blocks", broken)
    score = page_score(PAGE, PAGE)
    assert (score.text_edit, score.teds) == (1, 0)
    assert score.problems[0] == "not compared (RecursionError: too deep)"


@pytest.mark.parametrize(
    ("truth", "expected"),
    [
        ("# Heading", True),
        (TABLE, True),
        ("|a|b|\n|-|-|", True),
        ("$$x$$", True),
        (r"where \(\alpha\) is", True),
        ("Total $5.00\nCash $6.00", False),
        ("#5 of 7", False),
        ("plain", False),
        ("", False),
        ('{"total": "$5"}', False),
    ],
)
def test_which_truths_are_markdown(truth, expected):
    assert has_structure(truth) is expected


def test_means_are_of_pages_and_of_all_tables():
    two_tables = page_score(TABLE, f"{TABLE}\n\n{TABLE.replace('1', '3')}")
    summary = summarize_markdown([page_score(PAGE, PAGE), two_tables, page_score("", FIRST)])
    assert summary["teds"] == {"mean": pytest.approx(2 / 3), "num_rows": 2, "num_tables": 3}
    assert summary["text_edit"] == {"mean": 0.5, "num_rows": 2}
    assert summary["formula_edit"] == {"mean": 0, "num_rows": 1}
    assert set(summarize_markdown([]).values()) == {None}


@pytest.mark.parametrize(
    ("found", "missed", "expected"),
    [
        ([(5, [1]), (9, [2])], [], 0),
        ([(9, [1]), (5, [2])], [], 1),
        ([(5, [1, 2])], [3, 4], 0.5),
        ([(5, [0])], [], None),  # as published: place 0 is dropped
        ([], [], None),
    ],
)
def test_order_of_known_pages(found, missed, expected):
    assert order_distance(found, missed) == expected


@needs_documents
def test_every_published_document_equals_itself():
    for _, truth, _ in documents("mineru")[::6]:
        score = page_score(truth, truth)
        assert score.text_errors == score.formula_errors == 0
        assert score.order_edit in (0, None)
        assert score.teds in (1, None)


PARTS = [
    "# ",
    "\n\n",
    "\n",
    TABLE,
    "$$x$$",
    "|a|b|\n|-|-|\n",
    "word ",
    "<td>",
    "\\[",
    "$",
    "\ud800",
]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from(PARTS), max_size=15).map("".join),
    st.lists(st.sampled_from(PARTS), max_size=15).map("".join),
)
def test_any_answer_has_a_score_between_nothing_and_all(prediction, truth):
    score = page_score(prediction, truth)
    assert isinstance(score, MarkdownScore)
    for value in (score.text_edit, score.formula_edit, score.teds, score.teds_s, score.order_edit):
        assert value is None or 0 <= value <= 1
