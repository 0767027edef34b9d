from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.data.annotations import Region
from deepseek_ocr.data.problems import Problem
from deepseek_ocr.data.truth.html_tables import parse_table
from deepseek_ocr.data.truth.structures import Cell, Fields, Formula, Table, TextBlock
from deepseek_ocr.data.truth.targets import prepare_truth, render_target

from ..splitting.columns_of import sample

TABLE = Table(
    cells=(
        Cell(row=0, column=0, text="Item", is_header=True),
        Cell(row=0, column=1, text="Price & tax", column_span=2, is_header=True),
        Cell(row=1, column=0, text="Tea", row_span=2),
        Cell(row=1, column=1, text="1.20"),
        Cell(row=1, column=2, text="a\nb"),
        Cell(row=2, column=2, text="<x>"),
    )
)
RECEIPT = Fields(
    value={
        "company": "TAN  WOON\nYANN",
        "total": 9.0,
        "paid": True,
        "note": None,
        "menu": [{"nm": "cake", "cnt": "2"}, {"nm": "tea"}],
        "tags": ["a", "b"],
        "address": {"city": "Ipoh", "lines": [["No. 1"]]},
        "none": [],
    }
)


def rendered(target, *blocks, **keys):
    return render_target(sample("a.png", text="as read", structure=blocks, **keys), target)


def text_of(target, *blocks):
    return rendered(target, *blocks).text


def test_auto_leaves_a_sample_as_it_was_read():
    row = sample("a.png", text="as read", structure=(RECEIPT,))
    assert render_target(row, "auto") is row


def test_tables():
    assert text_of("text", TABLE) == "Item\tPrice & tax\t\nTea\t1.20\ta b\n\t\t<x>"
    assert text_of("markdown", TABLE) == (
        '<table><tr><td>Item</td><td colspan="2">Price &amp; tax</td></tr>'
        '<tr><td rowspan="2">Tea</td><td>1.20</td><td>a b</td></tr>'
        "<tr><td></td><td>&lt;x&gt;</td></tr></table>"
    )
    assert json.loads(text_of("json", TABLE)) == {
        "table": [["Item", "Price & tax", ""], ["Tea", "1.20", "a b"], ["", "", "<x>"]],
        "spans": [[0, 1, 1, 2], [1, 0, 2, 1]],
    }


def test_fields():
    lines = [
        "company: TAN WOON YANN",
        "total: 9.0",
        "paid: true",
        "note:",
        "menu:",
        "  nm: cake, cnt: 2",
        "  nm: tea",
        "tags:",
        "  a",
        "  b",
        "address:",
        "  city: Ipoh",
        "  lines:",
        "    No. 1",
        "none:",
    ]
    assert text_of("text", RECEIPT).split("\n") == lines
    assert text_of("markdown", RECEIPT).split("\n") == [
        line[: len(line) - len(line.lstrip())] + "- " + line.lstrip() for line in lines
    ]
    assert json.loads(text_of("json", RECEIPT)) == RECEIPT.value
    assert text_of("json", Fields(value={"ä": "€"})) == '{"ä": "€"}'


def test_formulas():
    formula = Formula(latex=r"E = m c^{2}")
    assert text_of("text", formula) == r"E = m c^{2}"
    assert text_of("markdown", formula) == r"\[E = m c^{2}\]"
    assert text_of("json", formula) == '{"formula": "E = m c^{2}"}'


@pytest.mark.parametrize(
    "label, text, markdown",
    [
        ("", "two\nlines", "two\nlines"),
        ("paragraph", "two\nlines", "two\nlines"),
        ("title", "A\nTitle", "# A Title"),
        ("doc_title", "T", "# T"),
        ("Section-Header", "S", "## S"),
        ("HeadingLine", "S", "## S"),
        ("sub_title", "S", "## S"),
        ("subsection", "S", "### S"),
        ("header", "running title", "running title"),
        (
            "list",
            "• one\n- two\nthree\n4. four\n(b) five",
            "- one\n- two\n- three\n4. four\n(b) five",
        ),
        ("list", "-5 degrees", "- -5 degrees"),
        ("table_caption", "Table 1", "<center>Table 1</center>"),
    ],
)
def test_labels_shape_markdown_and_leave_text_alone(label, text, markdown):
    block = TextBlock(text=text, label=label)
    assert text_of("markdown", block) == markdown
    assert text_of("text", block) == text
    expected = {"text": text} | ({"label": label} if label else {})
    assert json.loads(text_of("json", block)) == expected


def test_blocks_stand_apart_by_a_blank_line_and_in_json_in_a_list():
    blocks = (
        TextBlock(text="Head", label="title"),
        TextBlock(text=""),
        Fields(value={"a": "1"}),
        Formula(latex="x"),
    )
    assert text_of("text", *blocks) == "Head\n\na: 1\n\nx"
    assert text_of("markdown", *blocks) == "# Head\n\n- a: 1\n\n\\[x\\]"
    assert json.loads(text_of("json", *blocks)) == [
        {"text": "Head", "label": "title"},
        {"text": ""},
        {"fields": {"a": "1"}},
        {"formula": "x"},
    ]


@pytest.mark.parametrize("target", ["text", "markdown"])
def test_a_row_without_structure_keeps_its_text(target):
    assert text_of(target) == "as read"


def test_a_row_without_structure_is_json_only_if_its_text_is():
    row = sample("a.png", text='{"a": 1}')
    assert render_target(row, "json") is row
    for text in ("as read", '"a"', "12", "[" * 100_000):
        problem = render_target(sample("a.png", text=text), "json")
        assert isinstance(problem, Problem) and problem.source == "f:1"
        assert problem.reason.startswith("no fields, tables or blocks")


def test_grounding_needs_regions():
    problem = rendered("grounding", RECEIPT)
    assert isinstance(problem, Problem) and "needs boxes" in problem.reason
    region = Region(label="title", box=(0, 0, 1, 1))
    assert rendered("grounding", regions=(region,)).text == "as read"


@pytest.mark.parametrize("target", ["text", "markdown", "json"])
def test_a_table_that_spans_more_than_a_page_can_hold_is_a_problem(target):
    huge = Table(cells=(Cell(row=0, column=0, text="a", row_span=10**6, column_span=10**6),))
    problem = rendered(target, huge)
    assert isinstance(problem, Problem) and "1000000 rows and 1000000 columns" in problem.reason


@pytest.mark.parametrize("target", ["text", "markdown", "json"])
@pytest.mark.parametrize("place", [0, 1])
def test_cells_that_cover_one_place_are_a_problem(target, place):
    first = Cell(row=0, column=0, text="A", column_span=2)
    problem = rendered(target, Table(cells=(first, Cell(row=0, column=place, text="B"))))
    assert isinstance(problem, Problem)
    assert problem.reason == f"two cells cover row 0, column {place} (from 0)"


@pytest.mark.parametrize("target", ["text", "markdown", "json", "auto"])
def test_fields_nested_without_end_are_a_problem(target):
    value: list = []
    for _ in range(10_000):
        value = [value]
    row = sample("a.png", text="t", structure=(Fields(value=value),))
    problem = prepare_truth(row, target=target, normalize="nfc")
    assert isinstance(problem, Problem) and "nested too deeply" in problem.reason


def test_text_is_normalised_before_it_is_rendered_so_that_json_stays_json():
    row = sample("a.png", structure=(Fields(value={"said": "“yes”  "}),))
    found = prepare_truth(row, target="json", normalize="quotes+blanks")
    assert json.loads(found.text) == {"said": '"yes"'}
    table = Table(cells=(Cell(row=0, column=0, text="a  b"), Cell(row=0, column=1, text="c")))
    found = prepare_truth(sample("a.png", structure=(table,)), target="text", normalize="blanks")
    assert found.text == "a b\tc"


words = st.text("ab <&", min_size=1, max_size=4).map(lambda text: " ".join(text.split()))


@given(st.lists(st.lists(words, min_size=3, max_size=3), min_size=1, max_size=4))
def test_all_targets_of_a_table_hold_the_same_cells(rows):
    cells = [
        Cell(row=r, column=c, text=text) for r, row in enumerate(rows) for c, text in enumerate(row)
    ]
    table = Table(cells=tuple(cells))
    assert json.loads(text_of("json", table))["table"] == rows
    assert parse_table(text_of("markdown", table)) == table
    assert [line.split("\t") for line in text_of("text", table).split("\n")] == rows
