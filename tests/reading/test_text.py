from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.reading.markup import parse_answer
from deepseek_ocr.reading.results import ReadPage
from deepseek_ocr.reading.text import document_text, page_text, plain_text

from .answers import ANSWERS, PAGE, boxed, long_answers


def text(answer, prompt=""):
    return page_text(parse_answer(answer, (999, 1998), prompt=prompt))


def test_a_page_becomes_text_without_marks():
    assert text(PAGE) == (
        "Report\n\nThe first paragraph says a<b and more.\n\nFigure 1: two dogs\n\nSum\t\na\t1"
    )


@pytest.mark.parametrize(
    "markdown, plain",
    [
        ("## A\n\n__b__ *c* 2 * 3 * 4", "A\n\nb *c* 2 * 3 * 4"),
        ("x<sup>2</sup> a &amp; b &lt;c> <d>", "x2 a & b <c> <d>"),
        ("```c\nif (a < b);\n```\nafter", "if (a < b);\n\nafter"),
        ("\\[ x \\] and $5", "x and $5"),
        ("<table><td>a<br>b</td><td>c</td></table>", "a b\tc"),
        ("# ", ""),
        ("- one\n- two", "- one\n- two"),
    ],
)
def test_markdown_becomes_what_it_shows(markdown, plain):
    assert plain_text(markdown) == plain


def test_lines_and_places_are_lines():
    both = boxed("a", (1, 2, 3, 4)) + boxed("b", (1, 2, 3, 4))
    assert text(both) == "a\nb"
    assert text(both, "<image>\nLocate <|ref|>a<|/ref|>.") == "a: 1, 4, 3, 8\nb: 1, 4, 3, 8"


def test_pages_are_a_form_feed_apart_and_failures_are_told():
    pages = [
        ReadPage(number=1, status="ok", text="one"),
        ReadPage(number=2, status="empty"),
        ReadPage(number=3, status="failed", reason="is damaged"),
        ReadPage(number=4, status="truncated", text="four"),
    ]
    assert "".join(document_text(pages)) == (
        "one\n\f\f[Page 3 could not be read: is damaged]\n\ffour\n\n[Page 4 is cut short]\n"
    )
    assert "".join(document_text(pages[:1])) == "one\n"


@given(st.one_of(ANSWERS, st.text()))
def test_every_answer_has_a_text(answer):
    text(answer)


@pytest.mark.parametrize("answer", long_answers(100_000))
def test_an_answer_of_any_length_is_written(answer):
    text(answer)
