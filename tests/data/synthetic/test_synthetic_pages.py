"""Drawn pages: what is said of them is what can be seen on them."""

from __future__ import annotations

import random
import re
from decimal import Decimal
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_ocr.data.synthetic import (
    KINDS,
    SyntheticPage,
    draw_page,
    lay_out_page,
    sample_texts,
)
from deepseek_ocr.data.synthetic.layout import Box, Stroke
from deepseek_ocr.data.synthetic.paint import paint
from deepseek_ocr.data.synthetic.sheet import html_table
from deepseek_ocr.errors import UsageError

SEEDS = st.integers(0, 2**40)
KIND_NAMES = st.sampled_from(sorted(KINDS))


@st.composite
def pages(draw) -> SyntheticPage:
    kind = draw(KIND_NAMES)
    size = draw(st.integers(KINDS[kind].smallest_size, 700))
    return draw_page(
        draw(SEEDS),
        draw(st.integers(0, 10**6)),
        kind,
        page=draw(st.integers(1, 3)),
        size=size,
        max_characters=draw(st.none() | st.integers(20, 800)),
        noise=False,
    )


def ink_of(page: SyntheticPage) -> np.ndarray:
    """(height, width) booleans: where the text's ink is, without ruled lines."""
    layout = page.layout
    without_rules = type(layout)(layout.width, layout.height, layout.blocks, [])
    return np.asarray(paint(without_rules).convert("L")) < 250


def inside(ink: np.ndarray, box: Box, margin: int = 0) -> np.ndarray:
    x1, y1, x2, y2 = (round(v) for v in box)
    left, top = max(0, x1 - margin), max(0, y1 - margin)
    return ink[top : y2 + margin, left : x2 + margin]


@settings(max_examples=60, deadline=None)
@given(pages())
def test_every_region_stands_in_the_truth_in_reading_order(page):
    position = 0
    for region in page.regions:
        found = page.text.find(region.text, position)
        assert found >= 0, (region.text, page.text)
        assert not page.text[position:found].strip(), "text between two regions"
        position = found + len(region.text)
    assert not page.text[position:].strip()
    assert page.regions


@settings(max_examples=60, deadline=None)
@given(pages())
def test_boxes_lie_in_the_picture_and_hold_all_ink(page):
    width, height = page.image.size
    ink = ink_of(page)
    outside = ink.copy()
    for region in page.regions:
        x1, y1, x2, y2 = region.box
        assert 0 <= x1 < x2 <= width
        assert 0 <= y1 < y2 <= height
        assert inside(ink, region.box).any()
        inside(outside, region.box, margin=1)[:] = False
    assert not outside.any()


@settings(max_examples=60, deadline=None)
@given(pages())
def test_lines_hardly_overlap(page):
    boxes = [region.box for region in page.regions]
    for number, (ax1, ay1, ax2, ay2) in enumerate(boxes):
        for bx1, by1, bx2, by2 in boxes[number + 1 :]:
            width, height = min(ax2, bx2) - max(ax1, bx1), min(ay2, by2) - max(ay1, by1)
            smaller = min((ax2 - ax1) * (ay2 - ay1), (bx2 - bx1) * (by2 - by1))
            assert max(0, width) * max(0, height) <= 0.25 * smaller


@settings(max_examples=40, deadline=None)
@given(pages())
def test_every_character_has_a_glyph_and_a_box_around_its_ink(page):
    ink = ink_of(page)
    outside = ink.copy()
    for glyph in page.glyphs:
        assert inside(ink, glyph.box, margin=1).any()
        inside(outside, glyph.box, margin=1)[:] = False
    assert not outside.any()
    assert "".join(glyph.character for glyph in page.glyphs) == "".join(page.text.split())
    for line in page.layout.lines:
        for run in line.runs:
            assert all(map(run.type.face.covers, run.text))


class Cells(HTMLParser):
    """The texts of a table's cells, row by row."""

    def __init__(self):
        super().__init__()
        self.rows: list[list[str]] = []

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])

    def handle_data(self, data):
        self.rows[-1].append(data)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.sampled_from(["tables", "invoices"]))
def test_the_html_of_a_table_holds_the_cells_of_its_rows(seed, kind):
    layout = lay_out_page(seed, 0, kind)
    (table,) = [block for block in layout.blocks if block.label == "table"]
    cells = Cells()
    cells.feed(table.markdown)
    assert [" ".join(row) for row in cells.rows] == [line.text for line in table.lines]
    assert len({len(row) for row in cells.rows}) == 1
    assert table.markdown in layout.markdown


def test_html_in_cells_is_escaped():
    assert (
        html_table([["a < b", "R&D"]])
        == "<table><tr><td>a &lt; b</td><td>R&amp;D</td></tr></table>"
    )


@settings(max_examples=30, deadline=None)
@given(SEEDS, KIND_NAMES)
def test_markdown_says_the_same_words_as_the_text(seed, kind):
    layout = lay_out_page(seed, 0, kind)
    plain = re.sub(r"<[^>]+>", " ", layout.markdown).replace("&amp;", "&")
    plain = re.sub(r"^(#+|\d+\.|-) ", "", plain, flags=re.MULTILINE)
    missing = set(plain.split()) - set(layout.text.split())
    assert not missing


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.sampled_from([320, 512, 1024]))
def test_a_receipt_adds_up(seed, size):
    layout = lay_out_page(seed, 0, "receipts", size=size)
    rows = [line for block in layout.blocks for line in block.lines if len(line.runs) == 2]
    prices: dict[str, Decimal] = {}
    total_of_items = Decimal(0)
    for row in rows:
        name, price = row.runs[0].text, re.sub(r"[^0-9.]", "", row.runs[1].text)
        if name.startswith("Date"):
            continue
        if name.split()[0] in ("Subtotal", "Tax", "TOTAL", "Total", "Cash", "Change", "Card",
                               "VISA", "Debit"):  # fmt: skip
            prices[name.split()[0].lower()] = Decimal(price)
        elif not prices:
            total_of_items += Decimal(price)
    assert total_of_items > 0
    assert prices.get("subtotal", total_of_items) == total_of_items
    assert prices["total"] == total_of_items + prices.get("tax", 0)
    if "cash" in prices:
        assert prices["cash"] - prices["change"] == prices["total"]
        assert prices["change"] >= 0


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_an_invoice_adds_up(seed):
    layout = lay_out_page(seed, 0, "invoices")
    (table,) = [block for block in layout.blocks if block.label == "table"]
    number = re.compile(r"[^0-9.]")
    positions = [[Decimal(number.sub("", r.text)) for r in row.runs[1:]] for row in table.lines[1:]]
    sums = layout.blocks[layout.blocks.index(table) + 1].lines
    net, tax, total = (Decimal(number.sub("", line.runs[1].text)) for line in sums)
    assert all(count * price == amount for count, price, amount in positions)
    assert net == sum(amount for *_, amount in positions)
    assert total == net + tax


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_arguments_give_the_same_pixels(kind):
    first, again = (draw_page(7, 3, kind, size=512) for _ in range(2))
    assert first.image.tobytes() == again.image.tobytes()
    assert (first.text, first.markdown, first.regions) == (
        again.text,
        again.markdown,
        again.regions,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_another_seed_number_or_page_gives_another_text(kind):
    texts = {
        lay_out_page(seed, index, kind, page=page).text
        for seed in (0, 1)
        for index in (0, 1)
        for page in (1, 2)
    }
    assert len(texts) == 8


def test_a_page_does_not_depend_on_those_drawn_before():
    alone = draw_page(1, 5, "letters", size=400)
    for index in range(5):
        draw_page(1, index, "book", size=400)
    assert draw_page(1, 5, "letters", size=400).image.tobytes() == alone.image.tobytes()


def test_global_random_state_is_left_alone():
    random.seed(3)
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    draw_page(1, 1, "letters", size=400)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002


def test_the_pages_of_a_document_share_its_style_and_count_on():
    first, second = (lay_out_page(4, 2, "book", page=page) for page in (1, 2))
    assert int(second.lines[-1].text) == int(first.lines[-1].text) + 1
    faces = {run.type.face.family for layout in (first, second) for run in layout.lines[-1].runs}
    assert len(faces) == 1


def test_the_pages_of_a_letter_are_signed_by_the_same_person():
    first, second = (lay_out_page(4, 2, "letters", page=page) for page in (1, 2))
    assert {line.text for line in first.lines[-2:]} & {line.text for line in second.lines[-2:]}


@settings(max_examples=40, deadline=None)
@given(SEEDS, KIND_NAMES, st.integers(200, 1000))
def test_a_page_holds_about_as_much_text_as_asked_for(seed, kind, most):
    head_and_foot = 330  # of a letter or an invoice: not cut, they make the kind
    layout = lay_out_page(seed, 0, kind, max_characters=most)
    assert sum(len(line.text) for line in layout.lines) <= most + head_and_foot


def test_noise_moves_nothing():
    for index in range(10):
        clean = draw_page(2, index, "receipts", size=400, noise=False)
        noisy = draw_page(2, index, "receipts", size=400)
        assert noisy.image.size == clean.image.size
        grey = np.asarray(noisy.image.convert("L"), dtype=float)
        ink = ink_of(clean)
        assert grey[ink].mean() < grey[~ink].mean() - 40


def test_strokes_are_drawn_where_they_say():
    layout = lay_out_page(0, 0, "lines", size=200)
    layout.strokes.append(Stroke((3, 4, 9, 6), (0, 0, 0)))
    grey = np.asarray(paint(type(layout)(20, 20, [], layout.strokes)).convert("L"))
    assert (grey[4:6, 3:9] == 0).all()
    assert (grey == 0).sum() == 12


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_too_small_to_be_read_is_refused(kind):
    with pytest.raises(UsageError, match=f"{kind} need a size of"):
        draw_page(0, 0, kind, size=KINDS[kind].smallest_size - 1)


def test_an_unknown_kind_is_refused_by_name():
    with pytest.raises(UsageError, match="unknown kind of page 'leters'; known: lines, letters"):
        draw_page(0, 0, "leters")


def test_sample_texts_are_the_same_however_many_are_asked_for():
    few, many = list(sample_texts(5, 10)), list(sample_texts(5, 30))
    assert many[:10] == few
    assert len(set(many)) == 30
    assert any("<table>" in text for text in many)
