from __future__ import annotations

import pytest

from deepseek_ocr.data.annotations import Region
from deepseek_ocr.data.truth.structures import Formula, Table, TextBlock

from .folders import detected, make, only, problems, reasons

POLY = [10, 20, 50, 20, 50, 40, 10, 40]


def element(order, text="", category="text_block", **more):
    return {
        "category_type": category,
        "poly": POLY,
        "ignore": False,
        "order": order,
        "anno_id": order,
        "text": text,
    } | more


def row(*elements, relations=(), **page):
    info = {
        "page_no": 0,
        "height": 200,
        "width": 100,
        "image_path": "a.png",
        "page_attribute": {"language": "english", "layout": "double_column", "subset": 3},
    }
    return {
        "layout_dets": list(elements),
        "page_info": info | page,
        "extra": {"relation": list(relations)},
    }


def text_of(tmp_path, *elements, **more):
    return only(
        make(tmp_path, {"images/a.png": None, "OmniDocBench.json": [row(*elements, **more)]})
    ).text


def test_a_page_is_markdown_in_reading_order_with_its_structure(tmp_path):
    html = '<table><tr><td colspan="2">x</td></tr></table>'
    elements = [
        element(3, "", "table", html=html, latex="\\begin{tabular}"),
        element(1, "A title", "title"),
        element(None, "17", "page_number"),
        element(2, "hidden", ignore=True),
        element(4, None, "equation_isolated", latex="$$ x^2 $$"),
        element(5, "", "figure"),
        element(6, "last"),
    ]
    root = make(tmp_path, {"images/a.png": None, "OmniDocBench.json": [row(*elements)]})
    sample = only(root)
    assert detected(root) == "omnidocbench"
    assert sample.images == ("images/a.png",) and sample.source == "OmniDocBench.json:1"
    assert sample.text == f"# A title\n\n{html}\n\n\\[x^2\\]\n\nlast"
    assert [type(block) for block in sample.structure] == [TextBlock, Table, Formula, TextBlock]
    assert sample.structure[2] == Formula(latex="x^2")
    assert sample.regions[0] == Region(label="title", box=(0.1, 0.1, 0.5, 0.2), text="A title")
    assert sample.box_frame == "shares"
    assert sample.lang == "english" and sample.attributes["layout"] == "double_column"


@pytest.mark.parametrize(
    "first, second, joined",
    [
        ("ends in the mid-", "dle of a word", "ends in the middle of a word"),
        ("ends in", "a column", "ends in a column"),
        ("in 1999-", "2001", "in 1999- 2001"),
        ("上海", "北京", "上海北京"),
    ],
)
def test_a_paragraph_that_goes_on_in_the_next_column_is_one(tmp_path, first, second, joined):
    relations = [
        {"source_anno_id": 1, "target_anno_id": 3, "relation_type": "truncated"},
        {"source_anno_id": 2, "target_anno_id": 1, "relation": "parent_son"},
    ]
    sample_text = text_of(
        tmp_path, element(1, first), element(2, "between"), element(3, second), relations=relations
    )
    assert sample_text == f"{joined}\n\nbetween"


def test_three_parts_of_a_paragraph_are_joined_whatever_the_order_of_their_relations(tmp_path):
    relations = [
        {"source_anno_id": a, "target_anno_id": b, "relation_type": "truncated"}
        for a, b in ((2, 3), (1, 2), (9, 1), (1, 1))
    ]
    assert (
        text_of(tmp_path, element(3, "c"), element(1, "a"), element(2, "b"), relations=relations)
        == "a b c"
    )


def test_the_items_of_a_list_are_its_text(tmp_path):
    assert (
        text_of(
            tmp_path,
            element(1, "", "list_group", merge_list=[element(1, "- a"), element(2, "- b")]),
        )
        == "- a\n- b"
    )


@pytest.mark.parametrize(
    "latex, told",
    [("\\[x\\]", "x"), ("$$\nx\n$$", "x"), ("$x$", "x"), ("x_1", "x_1"), ("\\(x\\)", "x")],
)
def test_formulas_lose_their_delimiters(tmp_path, latex, told):
    assert text_of(tmp_path, element(1, "", "equation_isolated", latex=latex)) == f"\\[{told}\\]"


@pytest.mark.parametrize(
    "page, reason",
    [
        (
            row(element(1, "t"), image_path="b.png"),
            "the picture b.png does not exist below the data root; add it or remove the annotation",
        ),
        (
            row(element(1, "t"), image_path=None),
            "no picture is named; add it or remove the annotation",
        ),
        (
            row(element(1, "t"), image_path=["a.png"]),
            "'image_path': expected a string, found a list",
        ),
        (row(element(1, {"a": 1})), "'text': expected a string, found an object"),
        (row("t"), "'layout_dets': expected an object, found a string"),
        (row(element(1, "t", poly=[1, 2, "x", 4])), "'poly': 'x' is no number of pixels"),
        (
            row(element(1, "t", poly=[1, 2, 3])),
            "'poly': expected the corners as [x1, y1, x2, y2, ...]",
        ),
        (row(element(1, "t"), relations="x"), "'relation': expected an object, found a string"),
        (
            row(element(1, "t"), page_attribute=[1]),
            "'page_attribute': expected an object, found a list",
        ),
    ],
)
def test_a_page_that_cannot_be_used_is_told(tmp_path, page, reason):
    root = make(tmp_path, {"images/a.png": None, "x.json": [page]})
    assert reasons(root, "omnidocbench")[0] == reason
    assert problems(root, "omnidocbench")[0][1] == "x.json:1"


def test_the_list_is_not_mistaken_for_the_annotation_of_a_picture_of_its_name(tmp_path):
    root = make(
        tmp_path,
        {"x.png": None, "images/a.png": None, "x.json": [row(element(1, "t"), image_path="b.png")]},
    )
    assert problems(root)[0] == ("annotation without picture", "x.json:1")
