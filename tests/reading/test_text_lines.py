from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from deepseek_ocr.data.synthetic.fonts import load_fonts
from deepseek_ocr.reading.markup import parse_answer
from deepseek_ocr.reading.text_lines import ink_rows, lines_in_box, placed_lines, shared_out
from deepseek_ocr.reading.visual_order import visual_order

from .answers import ANSWERS, PAGE, boxed

LINES = ("It is Ängström's third", "journey: i j ÖÜ, so", "far, that ends.")


def drawn(lines, *, size=24, ink="black", ground="white", leading=1.5) -> Image.Image:
    picture = Image.new("L", (500, 400), ground)
    draw, font = ImageDraw.Draw(picture), load_fonts().plainest.families[0].face().at(size)
    for number, line in enumerate(lines):
        draw.text((40, 30 + number * size * leading), line, fill=ink, font=font)
    return picture


@pytest.mark.parametrize("size", [12, 24, 36])
@pytest.mark.parametrize("ink, ground", [("black", "white"), ("white", "black"), (90, 200)])
def test_lines_of_print_are_found_with_their_dots_and_accents(size, ink, ground):
    lines = LINES if size < 36 else LINES[:2]
    rows = ink_rows(drawn(lines, size=size, ink=ink, ground=ground), (0, 0, 500, 400))
    assert len(rows) == len(lines)
    for number, (x1, y1, x2, y2) in enumerate(rows):
        assert 38 <= x1 < x2
        assert 30 + number * size * 1.5 - 2 <= y1 < y2 <= 30 + (number + 1) * size * 1.5


def test_words_are_shared_out_by_the_widths_of_the_rows():
    placed = lines_in_box([" ".join(LINES)], drawn(LINES), (0, 0, 500, 400))
    assert [line.text for line in placed] == list(LINES)


def test_lines_that_are_as_many_as_the_rows_stay_as_they_are():
    given_lines = ["a", "b", "c"]
    placed = lines_in_box(given_lines, drawn(LINES), (0, 0, 500, 400))
    assert [line.text for line in placed] == given_lines


def test_more_lines_than_rows_divide_the_box():
    placed = lines_in_box(["a", "b", "c", "d"], drawn(LINES), (10, 0, 500, 400))
    assert [line.box for line in placed] == [(10, y, 500, y + 100) for y in (0, 100, 200, 300)]


def test_a_line_on_an_empty_page_stands_in_its_box():
    blank = Image.new("L", (500, 400), "white")
    (line,) = lines_in_box(["a  b"], blank, (10, 20, 30, 40))
    assert line == ("a b", (10, 20, 30, 40))


def test_an_answer_without_boxes_is_laid_over_the_page():
    answer = parse_answer(" ".join(LINES), (500, 400))
    assert [line.text for line in placed_lines(answer, drawn(LINES))] == list(LINES)


def test_tables_and_formulas_are_text_and_figures_are_none():
    answer = parse_answer(PAGE, (999, 1998))
    texts = [line.text for line in placed_lines(answer, Image.new("RGB", (999, 1998), "white"))]
    assert texts == [
        "Report",
        "The first paragraph says a<b and more.",
        "Figure 1: two dogs",
        "Sum",
        "a 1",
    ]


def test_lines_of_text_stand_in_their_own_boxes():
    answer = parse_answer(boxed("a", (0, 0, 99, 99)) + boxed("b", (0, 99, 99, 199)), (999, 999))
    blank = Image.new("RGB", (999, 999))
    assert list(placed_lines(answer, blank)) == [("a", (0, 0, 99, 99)), ("b", (0, 99, 99, 199))]


@given(
    st.lists(st.text(min_size=1, max_size=8)), st.lists(st.integers(0, 500), min_size=1, max_size=9)
)
def test_no_word_is_lost_or_out_of_order(words, widths):
    lines = shared_out(words, widths)
    assert len(lines) == len(widths)
    assert " ".join(filter(None, lines)) == " ".join(words)


@given(ANSWERS, st.integers(0, 2**32 - 1))
def test_every_line_lies_on_the_page(text, seed):
    noise = np.random.default_rng(seed).integers(0, 256, (30, 20, 3), dtype=np.uint8)
    for line in placed_lines(parse_answer(text, (20, 30)), Image.fromarray(noise)):
        x1, y1, x2, y2 = line.box
        assert 0 <= x1 < x2 <= 20 and 0 <= y1 < y2 <= 31
        assert "\n" not in line.text


@pytest.mark.parametrize(
    "text, seen",
    [
        ("abc 1,5", "abc 1,5"),
        ("אבג", "גבא"),
        ("אב 12 גד", "דג 12 בא"),
        ("אב (ג)", "(ג) בא"),
        ("אב abc גד", "דג abc בא"),
        ("abc אב def", "abc בא def"),
        ("אב 1.5₪", "1.5₪ בא"),
        ("", ""),
    ],
)
def test_a_line_is_set_in_the_order_in_which_its_letters_stand(text, seen):
    assert visual_order(text) == seen


@given(st.text())
def test_setting_in_order_loses_no_character(text):
    mirror = str.maketrans(")]}>»›", "([{<«‹")
    assert sorted(visual_order(text).translate(mirror)) == sorted(text.translate(mirror))
