"""Charts and contact sheets: what is drawn is what was counted, and nothing strange breaks them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from deepseek_ocr.data.statistics import charts, contact_sheet
from deepseek_ocr.data.statistics.charts import Panel, draw_panels
from deepseek_ocr.data.statistics.contact_sheet import COLOURS, Cell
from deepseek_ocr.data.statistics.lengths import histogram
from deepseek_ocr.data.statistics.lettering import ELLIPSIS, ending, font, wrapped

FACE = font(14)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r\x85\u2028\u2029"), max_size=80)


def num_pixels(image, colour):
    return int((np.asarray(image) == colour).all(axis=2).sum())


@settings(max_examples=150)
@given(TEXTS, st.integers(20, 300), st.integers(1, 6))
def test_lines_fit_and_only_an_ellipsis_hides_text(text, width, max_lines):
    lines = wrapped(text, FACE, width, max_lines)
    assert 1 <= len(lines) <= max_lines
    # a line of one character may be as wide as that is
    assert all(FACE.getlength(line) <= width or len(line.rstrip(ELLIPSIS)) <= 1 for line in lines)
    if text.isprintable() and not lines[-1].endswith(ELLIPSIS):
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_control_codes_and_long_words_are_drawn_as_text():
    assert wrapped("a\x1b[31mb", FACE, 500, 2) == ["a\\x1b[31mb"]
    assert wrapped("a\nb\nc", FACE, 500, 2) == ["a", "b" + ELLIPSIS]
    assert len(wrapped("w" * 100, FACE, 100, 50)) > 5


def test_of_a_long_path_the_end_is_shown():
    path = "a/very/long/path/of/many/folders/page_0017.png"
    shown = ending(path, FACE, 120)
    assert shown.startswith(ELLIPSIS) and path.endswith(shown[1:]) and len(shown) > 8
    assert FACE.getlength(shown) <= 120
    assert ending("a.png", FACE, 120) == "a.png"
    assert ending(path, FACE, 1) == ELLIPSIS


def test_a_bar_is_as_high_as_its_count():
    counts = {1: 30, 2: 60, 4: 15}
    values = np.repeat(list(counts), list(counts.values()))
    image = draw_panels([Panel(title="", note="", histogram=histogram(values))])
    room = charts.PANEL_WIDTH / charts.LEAST_BARS
    heights = []
    for bar in range(4):
        left = charts.MARGIN + int(bar * room)
        column = image.crop((left, 0, left + int(room), image.height))
        heights.append(num_pixels(column, charts.BAR))
    assert heights[2] == 0
    assert [height / heights[1] for height in heights] == pytest.approx([0.5, 1, 0, 0.25], abs=0.02)


@pytest.mark.parametrize("values", [[], [0], [7] * 9, range(500), [1, 2, 10**8]])
def test_histograms_of_any_shape_can_be_drawn(values):
    shown = histogram(np.array(list(values), dtype=np.int64), 24)
    panels = [Panel(title="t", note="n", histogram=shown)] * 3
    image = draw_panels(panels, "a heading")
    assert image.height > 2 * charts.PANEL_HEIGHT


def cell(width=200, height=100, **changes):
    return Cell(page=Image.new("RGB", (width, height), "white"), title="a page", **changes)


def test_boxes_are_drawn_where_they_are_each_label_in_its_colour():
    boxes = [("title", (20, 10, 180, 30)), ("text", (20, 50, 180, 90)), ("title", (5, 5, 9, 9))]
    sheet = contact_sheet.contact_sheet([cell(boxes=boxes)])
    scale = 2.0  # no page is enlarged more
    lines = [(2 * (x2 - x1) + 2 * (y2 - y1)) * scale for _, (x1, y1, x2, y2) in boxes]
    assert num_pixels(sheet, COLOURS[0]) >= 0.95 * (lines[0] + lines[2])
    assert num_pixels(sheet, COLOURS[1]) >= 0.95 * lines[1]
    assert num_pixels(sheet, COLOURS[2]) == 0


@pytest.mark.parametrize("box", [(-50, -50, 900, 900), (90, 40, 10, 5), (0, 0, 0, 0), (1e9,) * 4])
def test_boxes_that_are_wrong_are_drawn_at_the_edge(box):
    contact_sheet.contact_sheet([cell(boxes=[("a label", box)])])


@pytest.mark.parametrize("size", [(1, 1), (4000, 3), (3, 4000), (640, 480)])
def test_pages_of_any_size_fit_their_cell(size):
    sheet = contact_sheet.contact_sheet([cell(*size, text="some text\n\n" * 50)])
    assert sheet.width == contact_sheet.CELL_WIDTH + 2 * contact_sheet.MARGIN
    most = contact_sheet.MOST_UPRIGHT * contact_sheet.CELL_WIDTH
    assert sheet.height <= most + (contact_sheet.MAX_LINES + 2) * contact_sheet.LINE_HEIGHT + 40


@pytest.mark.parametrize("count, columns", [(0, 1), (1, 1), (2, 2), (5, 3), (17, 4), (40, 4)])
def test_cells_stand_in_rows(count, columns):
    sheet = contact_sheet.contact_sheet((cell() for _ in range(count)), 100)
    assert sheet.width == contact_sheet.MARGIN + columns * (100 + contact_sheet.MARGIN)


def test_the_page_that_is_given_is_not_drawn_on():
    given_cell = cell(boxes=[("x", (1, 1, 50, 50))])
    before = given_cell.page.tobytes()
    contact_sheet.contact_sheet([given_cell])
    assert given_cell.page.tobytes() == before
