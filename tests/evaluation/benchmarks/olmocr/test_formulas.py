"""Formulas compared as they are drawn, without a browser: drawings are made by hand."""

from __future__ import annotations

import pytest

from deepseek_ocr.evaluation.benchmarks.olmocr import formulas
from deepseek_ocr.evaluation.benchmarks.olmocr.answer import Answer
from deepseek_ocr.evaluation.benchmarks.olmocr.checks import MathCheck
from deepseek_ocr.evaluation.benchmarks.olmocr.formulas import MathJudge, looks_alike, neighbours
from deepseek_ocr.evaluation.benchmarks.olmocr.katex import Drawing, Symbol


def drawing(*lines: str, mathml: str | None = None) -> Drawing:
    """Lines of characters, 20 pixels each way, -> a drawing; blanks hold places."""
    symbols = tuple(
        Symbol(character, 20.0 * column, 20.0 * row)
        for row, line in enumerate(lines)
        for column, character in enumerate(line)
        if character != " "
    )
    return Drawing(mathml or "/".join(lines), symbols)


def test_neighbours_are_the_nearest_on_each_side():
    grid = drawing("abc", " d ").symbols
    a, b, c, d = range(4)
    assert neighbours(grid) == (
        (None, None, None, b),
        (None, d, a, c),
        (None, None, b, None),
        (b, None, None, None),
    )


@pytest.mark.parametrize(
    "reference, other, alike",
    [
        (("3x",), ("3x",), True),
        (("3x",), ("a3xb",), True),  # somewhere in a longer one
        (("3x",), ("x3",), False),
        (("3x",), ("3 y",), False),
        (("a", "b"), ("b", "a"), False),
        (("a", "b"), ("ab",), False),
        (("x x",), ("x",), False),  # two symbols need two
        (("xx",), ("xyxx",), True),  # the first x has no x beside it: the next is tried
        (("a" * 300,), ("a" * 300,), True),  # deeper than Python would recurse
        ((), ("a",), True),
    ],
)
def test_a_formula_is_found_where_its_symbols_have_the_same_neighbours(reference, other, alike):
    found = looks_alike(drawing(*reference, mathml="one"), drawing(*other, mathml="two"))
    assert found is alike


def test_what_means_the_same_need_not_look_the_same():
    assert looks_alike(drawing("a", mathml="<mi>a</mi>"), drawing("b", mathml="<mi>a</mi><mo>"))


def test_a_loop_of_equal_symbols_comes_to_an_end(monkeypatch):
    monkeypatch.setattr(formulas, "MAX_STEPS", 1000)
    long = drawing("ab" * 200 + "x", mathml="long")
    assert not looks_alike(drawing("ba" * 100 + "y", mathml="other"), long)
    assert not looks_alike(drawing(*["ab"] * 3, mathml="o"), drawing("ab" * 800, mathml="l"))


class Pen:
    """Draws what it is told to; counts what it was asked."""

    def __init__(self, **drawings: Drawing | None):
        self.drawings = drawings
        self.asked: list[str] = []

    def draw(self, formulas):
        self.asked += formulas
        return {formula: self.drawings.get(formula) for formula in formulas}


def judge(pen: Pen, math: str, markdown: str):
    check = MathCheck(id="1", kind="math", pdf="a.pdf", page=1, category="c", math=math)
    answer = Answer(markdown)
    return MathJudge([(check, answer)], pen).judge(check, answer)  # type: ignore[arg-type]


def test_a_formula_that_looks_the_same_passes():
    pen = Pen(x=drawing("ab", mathml="1"), y=drawing("cab", mathml="2"))
    assert judge(pen, "x", "$z$ and $y$").passed is True


def test_a_formula_written_the_same_passes_and_the_others_are_not_drawn():
    pen = Pen(x=drawing("ab"))
    assert judge(pen, "x", "$y$ and $x$").passed is True
    assert pen.asked == ["x"]


def test_no_formula_and_another_formula_fail():
    pen = Pen(x=drawing("ab", mathml="1"), y=drawing("ba", mathml="2"))
    assert judge(pen, "x", "$y$").passed is False
    assert judge(pen, "x", "no formula").passed is False


def test_a_check_that_katex_refuses_is_not_run():
    verdict = judge(Pen(x=None), "x", "$x$")
    assert verdict.passed is None and "own formula" in verdict.reason
