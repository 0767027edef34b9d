from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.data.annotations import Region as AnnotatedRegion
from deepseek_ocr.data.truth.grounding import MAX_REGIONS, render_grounding
from deepseek_ocr.reading.characters import harmless
from deepseek_ocr.reading.markup import parse_answer
from deepseek_ocr.reading.regions import MAX_LABEL, Region, page_box

from ..data.splitting.columns_of import sample
from .answers import ANSWERS, PAGE, boxed, long_answers

SIZE = (999, 1998)
OCR = "<image>\n<|grounding|>OCR this image."
LOCATE = "<image>\nLocate <|ref|>the dog<|/ref|> in the image."


def regions(text, prompt="", size=SIZE):
    return list(parse_answer(text, size, prompt=prompt).regions)


def texts(text, prompt="", size=SIZE):
    return [block.text for block in parse_answer(text, size, prompt=prompt).blocks]


def test_a_document_is_blocks_with_labels_and_boxes_in_page_pixels():
    answer = parse_answer(PAGE, SIZE)
    assert answer.kind == "layout"
    assert [(block.label, block.boxes) for block in answer.blocks] == [
        ("title", ((100, 80, 900, 160),)),
        ("text", ((100, 200, 900, 400),)),
        ("image", ((100, 500, 400, 800), (500, 500, 900, 800))),
        ("image_caption", ((100, 820, 400, 840),)),
        ("table", ((100, 900, 900, 1200),)),
    ]
    assert answer.regions[0] == Region(label="title", box=(100, 80, 900, 160), text="# Report")
    assert [region.label for region in answer.regions].count("image") == 2


def test_of_several_boxes_the_first_has_the_text():
    text = boxed("text", (0, 0, 9, 9), (9, 9, 20, 20)) + "\nhello"
    assert [region.text for region in regions(text)] == ["hello", ""]


def test_labels_with_nothing_below_are_lines_of_text():
    text = boxed("TOTAL 12.50", (1, 2, 3, 4)) + "\n" + boxed("image", (5, 6, 7, 8))
    assert parse_answer(text, SIZE).kind == "lines"
    assert regions(text) == [
        Region(label="", box=(1, 4, 3, 8), text="TOTAL 12.50"),
        Region(label="", box=(5, 12, 7, 16), text="image"),
    ]


def test_the_prompt_decides_where_the_answer_does_not():
    text = boxed("title", (1, 2, 3, 4))
    assert parse_answer(text, SIZE).kind == "layout"
    assert parse_answer(text, SIZE, prompt=OCR).kind == "lines"
    located = parse_answer(boxed("the dog", (1, 2, 3, 4)), SIZE, prompt=LOCATE)
    assert located.kind == "located"
    assert located.regions == (Region(label="the dog", box=(1, 4, 3, 8)),)
    assert parse_answer(text + "\nbelow", SIZE, prompt=OCR).kind == "layout"


def test_an_answer_without_boxes_is_one_block():
    answer = parse_answer("First line\nsecond line\n", SIZE)
    assert [(block.label, block.text) for block in answer.blocks] == [
        ("", "First line\nsecond line")
    ]
    assert answer.regions == ()
    assert parse_answer(" \n", SIZE).blocks == ()


def test_what_training_data_says_comes_back():
    written = (
        AnnotatedRegion(label="title", box=(10, 20, 400, 60), text="# A"),
        AnnotatedRegion(label="image", box=(0, 100, 500, 300)),
        AnnotatedRegion(label="text", box=(10, 310, 490, 700), text="two\nlines"),
    )
    row = render_grounding(sample("a.png", regions=written), 500, 700)
    assert regions(row.text, size=(500, 700)) == [
        Region(label=r.label, box=tuple(map(int, r.box)), text=r.text) for r in written
    ]


@pytest.mark.parametrize(
    "text, left",
    [
        ("Hello\n\n<|ref|>text<|/ref|><|det|>[[1, 2", "Hello"),
        ("Hello\n\n<|ref|>text<|/ref|><|det|>", "Hello"),
        ("Hello\n\n<|ref|>text<|/ref|>", "Hello"),
        ("Hello\n\n<|ref|>tex", "Hello"),
        ("Hello\n\n<|ref|>text<|/r", "Hello"),
        ("Hello\n\n<|re", "Hello"),
        ("Hello <|", "Hello"),
        ("Hello <", "Hello <"),
        ("a <|/det|> b <|ref|> c <|grounding|> d<｜end▁of▁sentence｜>", "a  b  c  d"),
        ("if a < b and b <= c", "if a < b and b <= c"),
    ],
)
def test_tags_of_no_box_and_a_cut_off_end_are_no_text(text, left):
    assert texts(text) == [left]
    assert texts(boxed("text", (1, 1, 2, 2)) + "\n" + text) == [left]


def test_a_tag_within_another_loses_no_text():
    text = "one <|ref|>two " + boxed("text", (1, 1, 2, 2)) + "\nthree <|ref|>four"
    text += "\n" + boxed("text", (1, 1, 2, 2)) + "\nfive"
    assert texts(text) == ["one two", "three four", "five"]


def test_a_line_that_was_cut_off_is_kept_where_labels_are_texts():
    text = boxed("first", (1, 1, 2, 2)) + "\n<|ref|>seco"
    answer = parse_answer(text, SIZE)
    assert answer.kind == "lines"
    assert [block.label or block.text for block in answer.blocks] == ["first", "seco"]


@pytest.mark.parametrize(
    "boxes",
    [
        "[[1.5, 2, 3, 4]]",
        "[[-1, 2, 3, 4]]",
        "[[1, 2, 3, 1000]]",
        "[[1, 2, 3, " + "9" * 400 + "]]",
        "[[3, 2, 1, 4]]",
        "[" * 5000 + "]" * 5000,
        "__import__('os').system('true')",
        "[[open('x','w'), 1, 2, 3]]",
        "[[١, ٢, ٣, ٤]]",
        "",
    ],
)
def test_a_box_that_is_none_gives_no_region_and_loses_no_text(boxes):
    text = f"before\n<|ref|>text<|/ref|><|det|>{boxes}<|/det|>\nbelow"
    assert regions(text) == []
    assert texts(text) == ["before", "below"]


def test_a_million_boxes_are_capped_and_their_texts_kept():
    text = (boxed("text", (1, 2, 3, 4)) + "\nx\n") * 30_000
    answer = parse_answer(text, SIZE)
    assert len(answer.regions) == MAX_REGIONS
    assert len(answer.blocks) == 30_000
    assert {block.text for block in answer.blocks} == {"x"}
    one = "<|ref|>a<|/ref|><|det|>[" + "[1, 2, 3, 4], " * 1_000_000 + "]<|/det|>"
    assert 0 < len(parse_answer(one, SIZE).regions) <= 1000


def test_a_label_is_cut_where_no_label_is_that_long():
    found = regions(boxed("x" * 10_000, (1, 2, 3, 4)) + "\nbelow")
    assert found[0].label == "x" * MAX_LABEL


@given(
    st.tuples(*[st.integers(0, 999)] * 4),
    st.tuples(st.integers(1, 20_000), st.integers(1, 20_000)),
)
def test_every_box_lies_on_the_page_and_has_pixels(corners, size):
    x1, x2 = sorted(corners[::2])
    y1, y2 = sorted(corners[1::2])
    box = page_box((x1, y1, x2, y2), size)
    assert 0 <= box[0] < box[2] <= size[0]
    assert 0 <= box[1] < box[3] <= size[1]
    for side, on_grid, whole in zip(box, (x1, y1, x2, y2), size * 2, strict=True):
        assert abs(side - on_grid * whole / 999) <= 1.5


@given(st.one_of(st.text(), ANSWERS), st.sampled_from(["", OCR, LOCATE]))
def test_whatever_a_model_says_is_parsed_and_boxes_stay_on_the_page(text, prompt):
    answer = parse_answer(text, (640, 480), prompt=prompt)
    for region in answer.regions:
        x1, y1, x2, y2 = region.box
        assert all(type(side) is int for side in region.box)
        assert 0 <= x1 < x2 <= 640 and 0 <= y1 < y2 <= 480
    for block in answer.blocks:
        assert harmless(block.text) == block.text and harmless(block.label) == block.label


@pytest.mark.parametrize("text", long_answers(300_000))
def test_an_answer_of_any_length_ends(text):
    parse_answer(text, SIZE)


def test_control_characters_never_reach_a_terminal():
    text = "a\x1b[2Jb\x9b31mc\r\nd\re\x00\x07f\u202egpj\u2066\ud800\ufdd0\ttab"
    assert texts(text) == ["a[2Jb31mc\nd\nefgpj\N{REPLACEMENT CHARACTER}\ttab"]
    assert texts("עברית \u200f(1)\u200e\u200cی") == ["עברית \u200f(1)\u200e\u200cی"]
