"""What counts of a text and of a formula."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.metrics.markdown.cleaning import (
    INLINE,
    clean_formula,
    clean_text,
    delimited,
    formulas_as_unicode,
    latex_to_text,
)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Hello, World!", "HelloWorld"),
        ("and/not", "andot"),  # as published
        ("a\tb\nc", "abc"),
        ("第一章 — 1.", "第一章1"),
        ("# **Straße** `x_1`", "Straßex_1"),
        (r"angle $\alpha_1$ and \(x^2\)", "angleα_1andx2"),
        ("$5 and $6", "5and6"),
        ("", ""),
    ],
)
def test_of_a_text_letters_and_digits_remain(text, cleaned):
    assert clean_text(text) == cleaned


@pytest.mark.parametrize(
    ("latex", "cleaned"),
    [
        (r"$$ \mathrm{A} + B $$", "{a}+b"),
        (r"\[ x = \left( 1 \right) \tag{3} \]", "x=(1)"),
        (r"\begin{align} x \\ y \end{align}.", r"x\\y"),
        (r"\frac{a}{b}\quad\text{if}", r"\frac{a}{b}{if}"),
        ("$$$$", ""),
    ],
)
def test_of_a_formula_styles_and_blanks_go(latex, cleaned):
    assert clean_formula(latex) == cleaned


def test_an_inline_formula_that_cannot_be_read_stays():
    deep = "$" + "{" * 500 + r"\x" + "}" * 500 + "$"
    assert formulas_as_unicode(deep) == deep
    assert latex_to_text(r"\x" * 3000) is None


def test_marks_without_an_end_are_passed_over():
    assert list(delimited("a $b$ c $ \\(d", INLINE)) == [(2, 5, "b")]
    assert list(delimited("\\( $x$", INLINE)) == [(3, 6, "x")]


@given(st.text(alphabet="$\\()[]{}_^ab \n\t/n\ud800", max_size=40))
def test_any_text_can_be_cleaned(text):
    assert clean_text(clean_text(text)) is not None
    assert isinstance(clean_formula(text), str)
