from __future__ import annotations

import pytest

from deepseek_ocr.data.annotations import Annotation
from deepseek_ocr.data.truth.structures import Formula

from .folders import detected, make, only, problems, read, reasons, samples


def test_a_list_names_the_line_of_a_formula_and_its_picture(tmp_path):
    make(
        tmp_path,
        {
            "images/ab.png": None,
            "images/cd.png": None,
            "formulas.lst": "\n\\alpha, \\beta \n\nx\ry\n",
            "train.lst": "1 ab basic\n\n",
            "validate.lst": "3 cd basic\r\n",
        },
    )
    one, two = samples(tmp_path)
    assert detected(tmp_path) == "im2latex"
    assert (one.images, one.text) == (("images/ab.png#crop=content",), "\\alpha, \\beta ")
    assert one.structure == (Formula(latex="\\alpha, \\beta "),)
    assert one.attributes == {"split": "train", "render_type": "basic"}
    assert one.also_read == ("formulas.lst",)
    assert (two.text, two.source) == ("x\ry", "validate.lst:1")


@pytest.mark.parametrize("place", ["formula_images", "images", "."])
def test_the_larger_set_is_called_by_other_names(tmp_path, place):
    make(
        tmp_path,
        {
            f"{place}/ab.png": None,
            "im2latex_formulas.lst": "a\r\nb\r\n",
            "im2latex_train.lst": "1 ab basic\n",
        },
    )
    assert only(tmp_path).text == "b"
    assert only(tmp_path).attributes["split"] == "im2latex_train"


def test_lists_as_the_preprocessing_writes_them_are_read(tmp_path):
    files = {"images/ab.png": None, "formulas.norm.lst": "a\nb\n", "train_filter.lst": "ab.png 1\n"}
    assert only(make(tmp_path, files)).text == "b"


def test_every_bad_line_is_a_problem(tmp_path):
    lines = ["0 ab basic", "1 cd basic", "7 cd basic", "x y", "0 none basic", "0 ../ab basic"]
    names = {"images/ab.png": None, "images/cd.png": None, "images/ef.png": None}
    make(tmp_path, {**names, "formulas.lst": "a\n \n", "train.lst": "\n".join(lines)})
    assert problems(tmp_path) == [
        ("empty text", "train.lst:2"),
        ("empty text", "train.lst:3"),
        ("bad line", "train.lst:4"),
        ("annotation without picture", "train.lst:5"),
        ("bad path", "train.lst:6"),
        ("picture without annotation", "images/ef.png"),
    ]
    assert reasons(tmp_path)[:2] == [
        "line 2 of formulas.lst is blank; expected formula 1",
        "line 8 of formulas.lst does not exist (3 lines); expected formula 7",
    ]


def test_formulas_that_cannot_be_told_are_one_problem(tmp_path):
    make(tmp_path, {"ab.png": None, "train.lst": "0 ab basic\n"})
    assert problems(tmp_path, "im2latex") == [("empty text", "train.lst:1")]
    assert reasons(tmp_path, "im2latex") == [
        "line 1 of formulas.lst does not exist (0 lines); expected formula 0"
    ]
    make(tmp_path, {"formulas.lst": "a\n", "formulas.norm.lst": "b\n"})
    assert problems(tmp_path) == [("ambiguous annotation", "formulas.lst:1")]
    (tmp_path / "formulas.norm.lst").unlink()
    make(tmp_path, {"formulas.lst": b"a\n\xe9\n"})
    assert problems(tmp_path) == [("not UTF-8", "formulas.lst:2")]


def test_a_list_that_cannot_be_read_is_told(tmp_path):
    files = {"ab.png": None, "formulas.lst": "a\n", "train.lst": "0 ab basic\n"}
    make(tmp_path, {**files, "test.lst": b"0 \xe9 basic\n", "words.lst": "a b c d\n"})
    assert detected(tmp_path) == "im2latex"
    assert problems(tmp_path) == [("not UTF-8", "test.lst:1"), ("bad line", "words.lst:1")]


def test_real_formulas_are_400_rows_of_which_two_are_blank(shared):
    root = shared / "data" / "im2latex_formulas"
    found = {s.images[0]: s for s in read(root) if isinstance(s, Annotation)}
    assert len(found) == 398
    assert problems(root) == [("empty text", "train.lst:172"), ("empty text", "train.lst:218")]
    expected = {
        "cd5afedf4f": r"\partial_{\bar{z}} T_4 = \partial_{z} \Theta_2 \ , \label{Cons:Law}",
        "13ef0a5f7d": r"{\cal D}[\partial] := 1 + {\partial^2 \over \eta^2}"
        r" - {\partial^4 \over \gamma^4} .",
        "5abbb9b19f": "\\int_{-\\epsilon}^\\infty dl\\: {\\rm e}^{-l\\zeta}\t\\int_{-\\epsilon}^"
        "\\infty dl' {\\rm e}^{-l'\\zeta}\tll'{l'-l \\over l+l'} \\{3\\,\\delta''(l)"
        " - {3 \\over 4}t\\,\\delta(l) \\} =0.\t\t\\label{eq21}",
    }
    for name, latex in expected.items():
        assert found[f"images/{name}.png#crop=content"].text == latex
