"""Tables as graphs of cells: neighbours and headings, with spans and without, and hostile spans."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.evaluation.benchmarks.olmocr.grids import (
    MAX_DEPTH,
    MAX_PLACES,
    Cell,
    build_grid,
    html_grids,
    markdown_grids,
)

TWO_HEADS = """<table><thead>
<tr><th rowspan="2"></th><th colspan="2">Main</th></tr>
<tr><th>A</th><th>B<br>2</th></tr></thead>
<tr><td>Row</td><td>10</td><td>20</td></tr></table>"""

SPANS = """<table>
<tr><th>H1</th><th colspan="2">H2</th><th>H4</th></tr>
<tr><td rowspan="2">A</td><td>B</td><td>C</td><td rowspan="2">D</td></tr>
<tr><td colspan="2">E</td></tr>
<tr><td>G</td><td colspan="3">H</td></tr></table>"""


def test_a_cell_is_named_by_where_it_begins():
    (grid,) = html_grids(SPANS)
    texts = {place: cell.text for place, cell in grid.cells.items()}
    assert texts == {
        (0, 0): "H1",
        (0, 1): "H2",
        (0, 3): "H4",
        (1, 0): "A",
        (1, 1): "B",
        (1, 2): "C",
        (1, 3): "D",
        (2, 1): "E",
        (3, 0): "G",
        (3, 1): "H",
    }


@pytest.mark.parametrize(
    "place, side, expected",
    [
        ((1, 0), "right", {(1, 1), (2, 1)}),
        ((2, 1), "up", {(1, 1), (1, 2)}),
        ((2, 1), "left", {(1, 0)}),
        ((2, 1), "right", {(1, 3)}),
        ((3, 1), "up", {(2, 1), (1, 3)}),
        ((0, 1), "down", {(1, 1), (1, 2)}),
        ((0, 0), "left", set()),
        ((0, 0), "up", set()),
        ((3, 1), "right", set()),
    ],
)
def test_neighbours_of_cells_with_spans(place, side, expected):
    (grid,) = html_grids(SPANS)
    assert grid.neighbours(place, side) == expected


def test_all_headings_on_the_way_up_count():
    (grid,) = html_grids(TWO_HEADS)
    assert grid.headings((2, 2), "up") == {(0, 1), (1, 2)}
    assert grid.headings((1, 1), "up") == {(0, 1)}  # a heading is none of its own
    assert grid.headings((0, 1), "up") == set()


def test_without_headings_the_last_cell_on_the_way_is_taken():
    (grid,) = html_grids(TWO_HEADS)
    assert grid.headings((2, 2), "left") == {(2, 0)}


def test_headings_above_a_span_are_those_of_all_its_columns():
    (grid,) = html_grids(SPANS)
    assert grid.headings((3, 1), "up") == {(0, 1), (0, 3)}


def test_a_line_break_in_a_cell_is_a_newline():
    (grid,) = html_grids(TWO_HEADS)
    assert grid.cells[1, 2].text == "B\n2"


def test_a_markdown_table_has_headings_in_its_first_row_and_column():
    (grid,) = markdown_grids("text\n| a | b |\n|:--|--:|\n| 1 | 2 |\n\nmore")
    assert {place: cell.text for place, cell in grid.cells.items()} == {
        (0, 0): "a",
        (0, 1): "b",
        (1, 0): "1",
        (1, 1): "2",
    }
    assert grid.headings((1, 1), "up") == {(0, 1)}
    assert grid.headings((1, 1), "left") == {(1, 0)}


def test_a_markdown_table_may_end_the_text_and_lack_outer_bars():
    (grid,) = markdown_grids("a | b\n--|--\n1 | 2")
    assert grid.cells[1, 1].text == "2"


def test_one_line_with_a_bar_is_no_table():
    assert markdown_grids("either | or\n\nsome | thing") == []


def test_short_rows_leave_gaps_that_neighbours_reach_across():
    grid = build_grid([[Cell("a"), Cell("b"), Cell("c")], [Cell("d")], [Cell("e"), Cell("f")]])
    assert grid is not None
    assert grid.neighbours((2, 1), "up") == {(0, 1)}


def test_rows_that_reach_below_the_last_line_are_made():
    (grid,) = html_grids(
        '<table><tr><td rowspan="3">a</td><td>b</td><td rowspan="2">c</td></table>'
    )
    assert grid.neighbours((0, 0), "right") == {(0, 1), (0, 2)}  # c beside a, where b has ended


def test_a_rowspan_of_0_reaches_to_the_end():
    rows = "<tr><td>b</td></tr>" * 2
    (grid,) = html_grids(f'<table><tr><td rowspan="0">a</td><td>x</td></tr>{rows}</table>')
    assert grid.neighbours((0, 0), "right") == {(0, 1), (1, 1), (2, 1)}


@pytest.mark.parametrize("span", ["99999999", "9" * 5000, str(MAX_PLACES + 1)])
@pytest.mark.parametrize("side", ["rowspan", "colspan"])
def test_an_absurd_span_makes_no_table_or_counts_as_none(span, side):
    grids = html_grids(f'<table><tr><td {side}="{span}">a</td><td>b</td></tr></table>')
    assert sum(len(grid.cells) for grid in grids) <= 2


@pytest.mark.parametrize("span", ["-1", "x", "", "1.5", "0x2"])
def test_a_span_that_is_no_number_is_one(span):
    (grid,) = html_grids(f'<table><tr><td colspan="{span}">a</td><td>b</td></tr></table>')
    assert set(grid.cells) == {(0, 0), (0, 1)}


def test_a_loop_of_tables_within_tables_is_read_to_some_depth():
    assert len(html_grids("<table><tr><td>" * 500)) == MAX_DEPTH


@given(
    st.lists(
        st.lists(
            st.builds(Cell, st.text(max_size=2), st.integers(1, 3), st.integers(1, 3)), max_size=4
        ),
        max_size=5,
    )
)
def test_every_neighbour_is_a_cell_and_sees_back_where_nothing_overlaps(rows):
    grid = build_grid(rows)
    if grid is None:
        assert not any(rows)
        return
    assert len(grid.cells) == sum(map(len, rows))
    for place in grid.cells:
        for side in ("up", "down", "left", "right"):
            neighbours = grid.neighbours(place, side)
            assert neighbours <= set(grid.cells) - {place}
        for side in ("up", "left"):
            assert place not in grid.headings(place, side)
