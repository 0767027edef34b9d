from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import pytest

from deepseek_ocr.data.truth.html_tables import MAX_PLACES, parse_table, table_html
from deepseek_ocr.data.truth.structures import Cell, Table


def table(*cells):
    return Table(
        cells=tuple(Cell(row=r, column=c, text=text, **spans) for r, c, text, spans in cells)
    )


def test_a_table_is_written_with_the_models_own_tokens():
    written = table_html(
        table(
            (0, 0, "a", {"column_span": 2, "is_header": True}),
            (1, 0, "b < c", {}),
            (1, 1, "d\n e", {}),
        )
    )
    assert written == (
        '<table><tr><td colspan="2">a</td></tr><tr><td>b &lt; c</td><td>d e</td></tr></table>'
    )


def test_places_without_a_cell_become_empty_cells():
    written = table_html(table((0, 1, "a", {"row_span": 2}), (2, 0, "b", {})))
    assert written == (
        '<table><tr><td></td><td rowspan="2">a</td></tr><tr><td></td></tr>'
        "<tr><td>b</td><td></td></tr></table>"
    )


def test_cells_that_cover_each_other_are_refused():
    with pytest.raises(ValueError, match="two cells cover row 0, column 1"):
        table_html(table((0, 0, "a", {"column_span": 2}), (0, 1, "b", {})))


def test_a_table_of_a_billion_places_is_refused_before_it_is_laid_out():
    with pytest.raises(ValueError, match=f"at most {MAX_PLACES} places"):
        table_html(table((0, 0, "a", {"row_span": 10**5, "column_span": 10**4})))


@pytest.mark.parametrize(
    "markup, cells",
    [
        ("no table", None),
        ("<table></table>", []),
        ("<TABLE><TR><TD>a<TD>b<TR><TD>c</TABLE>", [(0, 0, "a"), (0, 1, "b"), (1, 0, "c")]),
        ("<table><td>a</td><td>b</td></table>", [(0, 0, "a"), (0, 1, "b")]),
        ("<table><tr><td>a&amp;b<br>c</td></tr></table>", [(0, 0, "a&b\nc")]),
        (
            "<table><tr><td rowspan=2>a</td><td>b</td></tr><tr><td>c</td></tr></table>",
            [(0, 0, "a"), (0, 1, "b"), (1, 1, "c")],
        ),
        (
            "<table><tr><td>a<table><tr><td>in</td></tr></table>b</td></tr></table>",
            [(0, 0, "a in b")],
        ),
        ("<table><tr><td>a</td></tr></table><table><tr><td>b</td></tr></table>", [(0, 0, "a")]),
        ("<table><tr><td>open", [(0, 0, "open")]),
    ],
)
def test_html_is_read_as_browsers_read_it(markup, cells):
    parsed = parse_table(markup)
    if cells is None:
        assert parsed is None
    else:
        assert [(c.row, c.column, c.text) for c in parsed.cells] == cells


def test_headers_are_known_by_their_tag_or_their_place():
    parsed = parse_table(
        "<table><thead><tr><td>a</td></tr></thead><tr><th>b</th><td>c</td></tr></table>"
    )
    assert [cell.is_header for cell in parsed.cells] == [True, True, False]


def test_more_cells_than_any_table_has_are_no_table():
    assert parse_table("<table><tr>" + "<td>" * 60_000) is None


@st.composite
def tables(draw):
    """Tables without holes at their end, whose cells do not cover each other."""
    covered, cells = set(), []
    for row in range(draw(st.integers(1, 4))):
        for column in range(draw(st.integers(1, 4))):
            if (row, column) in covered:
                continue
            rows, columns = draw(st.integers(1, 2)), draw(st.integers(1, 2))
            places = {(row + r, column + c) for r in range(rows) for c in range(columns)}
            if not places & covered:
                covered |= places
                text = draw(st.text("ab<&>é", max_size=3))
                cells.append(
                    Cell(row=row, column=column, text=text, row_span=rows, column_span=columns)
                )
    return Table(cells=tuple(cells))


@hypothesis.given(tables())
def test_what_is_written_is_read_back(written):
    kept = {(c.row, c.column): c for c in written.cells}
    parsed = {(c.row, c.column): c for c in parse_table(table_html(written)).cells}
    assert {place: cell for place, cell in parsed.items() if place in kept} == kept
    assert all(not cell.text for place, cell in parsed.items() if place not in kept)


@hypothesis.given(
    st.lists(
        st.sampled_from(
            [
                "<table>",
                "</table>",
                "<tr>",
                "</tr>",
                "<td>",
                "</td>",
                "<td rowspan=3>",
                "<td colspan=9>",
                "x",
                "<",
                "&",
            ]
        )
    )
)
def test_no_markup_makes_it_raise_and_what_is_read_can_be_written(parts):
    parsed = parse_table("".join(parts))
    if parsed is not None:
        table_html(parsed)
