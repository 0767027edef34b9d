from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.data.annotations import Region
from deepseek_ocr.data.formats._reading_order import (
    Piece,
    box_around,
    reading_order,
    regions_of,
    straight_box,
    text_of,
)


def texts(pieces):
    return [[piece.text for piece in row] for row in reading_order(pieces)]


def test_pieces_of_one_height_are_a_row_from_left_to_right():
    pieces = [
        Piece("RIGHT", (50, 0, 90, 10)),
        Piece("below", (0, 20, 40, 30)),
        Piece("left", (0, 1, 40, 11)),
    ]
    assert texts(pieces) == [["left", "RIGHT"], ["below"]]
    assert text_of(reading_order(pieces)) == "left RIGHT\nbelow"


def test_a_line_printed_over_another_stays_a_line_of_its_own():
    pieces = [Piece("A", (0, 0, 90, 20)), Piece("B", (5, 3, 95, 22)), Piece("C", (100, 2, 120, 21))]
    assert texts(pieces) == [["A", "C"], ["B"]]


def test_blank_pieces_leave_no_trace_in_the_text():
    rows = reading_order(
        [Piece(" ", (0, 0, 9, 9)), Piece("a", (10, 0, 19, 9), "x"), Piece("", (0, 20, 9, 29))]
    )
    assert text_of(rows) == "a"
    assert Region(label="x", box=(10, 0, 19, 9), text="a") in regions_of(rows)


def slow_order(pieces):
    """As `reading_order` says it, each piece compared with all of the row."""

    def shared(one, other):
        common = min(one[1], other[1]) - max(one[0], other[0])
        return common / max(min(one[1] - one[0], other[1] - other[0]), 1)

    rows, firsts = [], []
    for piece in sorted(pieces, key=lambda piece: (piece.middle, piece.box[0])):
        if (
            rows
            and all(shared(other.box[0::2], piece.box[0::2]) < 0.5 for other in rows[-1])
            and shared(firsts[-1].box[1::2], piece.box[1::2]) > 0.5
        ):
            rows[-1].append(piece)
        else:
            rows.append([piece])
            firsts.append(piece)
    return [sorted(row, key=lambda piece: piece.box[0]) for row in rows]


sides = st.tuples(st.integers(0, 40), st.integers(1, 20))
boxes = st.tuples(sides, sides).map(
    lambda xy: (xy[0][0], xy[1][0], xy[0][0] + xy[0][1], xy[1][0] + xy[1][1])
)


@given(st.lists(boxes, max_size=25))
def test_comparing_with_the_neighbours_is_as_good_as_with_the_whole_row(drawn):
    pieces = [Piece(str(number), box) for number, box in enumerate(drawn)]
    assert reading_order(pieces) == slow_order(pieces)


def test_a_hundred_thousand_pieces_in_one_row_are_no_burden():
    pieces = [Piece("x", (10 * n, 0, 10 * n + 9, 10)) for n in reversed(range(100_000))]
    (row,) = reading_order(pieces)
    assert row == pieces[::-1]


def test_boxes_are_upright_however_their_corners_are_given():
    assert box_around([[9, 1], [3, 7], [4, 2.5]]) == (3, 1, 9, 7)
    assert straight_box([9, 8, 1, 2]) == (1, 2, 9, 8)


@pytest.mark.parametrize(
    "points", [None, [], [[1, 2]], [1, 2], [[1, 2], [3]], [[1, "2"], [3, 4]], [[True, 2], [3, 4]],
               [[1, 2], [1e400, 4]], [[1, 2], [None, 4]], {"x": 1}],
)  # fmt: skip
def test_what_is_no_list_of_corners_is_refused(points):
    with pytest.raises(ValueError, match=r"expected corners|is no number of pixels"):
        box_around(points)


@pytest.mark.parametrize("sides", [None, [1, 2, 3], [1, 2, 3, "4"], [1, 2, 3, 10**30], "1234"])
def test_what_is_no_box_is_refused(sides):
    with pytest.raises(ValueError, match=r"expected a box|is no number of pixels"):
        straight_box(sides)
