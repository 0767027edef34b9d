"""Every kind of check: what passes it, what fails it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.evaluation.benchmarks.olmocr.answer import Answer, normalized
from deepseek_ocr.evaluation.benchmarks.olmocr.reading import check_from


def verdict(answer: str, kind: str, **values):
    row = {"id": "1", "pdf": "a.pdf", "page": 1, "type": kind, **values}
    return check_from(row, "some").run(Answer(answer))


@pytest.mark.parametrize(
    "text, expected",
    [
        ("a  b\t\nc", "a b c"),
        ("**bold** and __bold__", "bold and bold"),
        ("*slanted* and _slanted_", "slanted and slanted"),
        ("<b>x</b><i>y</i>", "xy"),
        ("a<br>b<br/>c", "a b c"),
        ("‘a’ “b” „c‚", "'a' \"b\" \"c'"),
        ("1–2—3‑4‒5−6＿", "1-2-3-4-5-6_"),
        ("e\u0301", "\u00e9"),
        ("5 \u00b5m", "5 \u03bcm"),
        ("**not\nclosed**", "not closed"),  # no pair on one line, but ** is an empty pair of *
    ],
)
def test_texts_are_normalised(text, expected):
    assert normalized(text) == expected


@given(st.text(max_size=40))
def test_any_text_can_be_normalised(text):
    assert "\n" not in normalized(text)


@pytest.mark.parametrize(
    "answer, values, stands_in",
    [
        ("It was the **best** of\ntimes.", {"text": "the best of times"}, True),
        ("It was the BEST of times.", {"text": "the best of times"}, False),
        ("It was the BEST of times.", {"text": "the best of times", "case_sensitive": False}, True),
        ("It was the bent of times.", {"text": "the best of times"}, False),
        ("It was the bent of times.", {"text": "the best of times", "max_diffs": 2}, True),
        ("It was the bent of times.", {"text": "the best of times", "max_diffs": 1}, False),  # 2
        ("head ... foot", {"text": "foot", "last_n": 6}, True),
        ("head ... foot", {"text": "head", "last_n": 6}, False),
        ("head ... foot", {"text": "head", "first_n": 6}, True),
        ("head ... foot", {"text": "foot", "first_n": 6}, False),
        ("head ... foot", {"text": "...", "first_n": 4, "last_n": 4}, False),
        ("head ... foot", {"text": "headfoot", "first_n": 4, "last_n": 4}, True),
        ("", {"text": "two words"}, False),
        ("\n", {"text": "two words"}, False),  # a blank is no part of what was asked for
    ],
)
def test_present_and_absent_are_opposites(answer, values, stands_in):
    assert verdict(answer, "present", **values).passed is stands_in
    assert verdict(answer, "absent", **values).passed is not stands_in


@pytest.mark.parametrize(
    "answer, max_diffs, passed",
    [
        ("the first then the second", 0, True),
        ("the second then the first", 0, False),
        ("the second the first the second", 0, True),  # some place before some place
        ("the fjrst then the sec0nd", 0, False),
        ("the fjrst then the sec0nd", 1, True),
        ("the first", 0, False),
        ("", 0, False),
    ],
)
def test_order(answer, max_diffs, passed):
    found = verdict(answer, "order", before="the first", after="the second", max_diffs=max_diffs)
    assert found.passed is passed


TABLE = "| Name | Words |\n|---|---|\n| **arXiv** | 3.32T |\n| Wiki | 12.2B |"
HTML = "<table><tr><th>Name</th><th>Words</th></tr><tr><td>arXiv</td><td>3.32T</td></tr></table>"


@pytest.mark.parametrize(
    "values, passed",
    [
        ({"cell": "arXiv"}, True),
        ({"cell": "arxiv"}, False),
        ({"cell": "arxiv", "max_diffs": 1}, True),
        ({"cell": "3.32T", "left": "arXiv"}, True),
        ({"cell": "3.32T", "right": "arXiv"}, False),
        ({"cell": "3.32T", "up": "Words"}, True),
        ({"cell": "3.32T", "down": "12.2B"}, True),
        ({"cell": "12.2B", "top_heading": "Words", "left_heading": "Wiki"}, True),
        ({"cell": "12.2B", "top_heading": "Name"}, False),
        ({"cell": "12.2B", "up": "Words"}, False),  # not the next one up
        ({"cell": "arXiv", "ignore_markdown_tables": True}, False),
    ],
)
def test_table_in_markdown(values, passed):
    assert verdict(TABLE, "table", **values).passed is passed


def test_table_in_html():
    assert verdict(HTML, "table", cell="3.32T", left="arXiv", top_heading="Words").passed
    assert verdict(HTML, "table", cell="arXiv", ignore_markdown_tables=True).passed


def test_a_relation_of_another_cell_with_the_same_text_is_enough():
    table = "| x | 1 |\n| y | 1 |"
    assert verdict(table, "table", cell="1", left="y").passed


def test_no_table_fails_with_that_reason():
    assert verdict("arXiv 3.32T", "table", cell="arXiv").reason == "there is no table"


@pytest.mark.parametrize(
    "answer, values, passed",
    [
        ("Some words.", {}, True),
        ("", {}, False),
        ("... --- !", {}, False),
        ("word " + "ab" * 31, {}, False),
        ("word " + "ab" * 30, {}, True),
        ("word " + "ab \n" * 31 + "ab ", {}, False),  # white space counts as one blank
        ("words 漢", {}, False),
        ("words 🙂", {}, False),
        ("words 漢", {"check_disallowed_characters": False}, True),
        ("", {"max_length": 10}, True),
        ("twelve chars", {"max_length": 10}, False),
        ("![a picture of nothing](x.png)", {"max_length": 10}, False),
        (
            "![a picture of nothing](x.png)",
            {"max_length": 10, "max_length_skips_image_alt_tags": True},
            True,
        ),
    ],
)
def test_baseline(answer, values, passed):
    assert verdict(answer, "baseline", **values).passed is passed


def test_a_formula_is_not_told_without_a_browser():
    assert verdict("$x$", "math", math="x").passed is None


@pytest.mark.parametrize(
    "answer, expected",
    [
        (r"a \( x \) b", ["x"]),
        (r"\[ x\ny \]", [r"x\ny"]),
        ("$$a\nb$$ and $c$", ["a\nb", "c"]),
        (r"$$a$$ \(b\)", ["b", "a"]),  # brackets first, and what they hold is gone
        (r"\( $x$ \)", ["$x$"]),
        ("5 $ and no more", []),
        (r"\(\(\(", []),
        ("", []),
    ],
)
def test_formulas_of_an_answer(answer, expected):
    assert Answer(answer).formulas == expected


def test_formulas_in_brackets_alone():
    assert Answer(r"$a$ \(b\)").bracketed_formulas == ["b"]


@given(st.text(alphabet=r"$\()[]x", max_size=60))
def test_any_mixture_of_delimiters_can_be_read(text):
    assert sum(map(len, Answer(text).formulas)) <= len(text)
