"""The stream of drawn pages that training learns from."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.data.synthetic.kinds.words import some_text
from deepseek_ocr.data.synthetic.pages import lay_out_page
from deepseek_ocr.data.synthetic.seeds import stream
from deepseek_ocr.data.synthetic.stream import PageStream
from deepseek_ocr.errors import UsageError


def make(**changes):
    settings = {"seed": 3, "num_pages": 50, "kinds": ("words", "lines"), "size": 128}
    return PageStream(**settings | changes)


def test_a_page_depends_on_settings_and_number_alone():
    forward = [make().page(n) for n in range(6)]
    backward = [make().page(n) for n in reversed(range(6))][::-1]
    assert [p.text for p in forward] == [p.text for p in backward]
    assert all(a.image.tobytes() == b.image.tobytes() for a, b in zip(forward, backward, strict=1))


def test_another_seed_draws_other_pages():
    texts = [[make(seed=seed).page(n).text for n in range(5)] for seed in (1, 2)]
    assert not set(texts[0]) & set(texts[1])


def test_all_kinds_come():
    assert {make().page(n).kind for n in range(20)} == {"words", "lines"}


def test_the_limit_of_characters_moves_from_the_first_page_to_the_last():
    pages = make(characters=(4, 102))
    limits = [pages.most_characters(n) for n in range(50)]
    assert (limits[0], limits[-1]) == (4, 102)
    assert limits == sorted(limits)


def test_without_a_limit_pages_hold_what_fits():
    assert make().most_characters(7) == 0
    assert max(len(make(kinds=("words",)).page(n).text) for n in range(30)) > 60


def test_plain_pages_are_black_on_white_in_one_face_and_hardly_differ_in_size():
    pages = [make(kinds=("words",), variety=(0.0, 0.0)).page(n) for n in range(12)]
    runs = [run for page in pages for line in page.layout.lines for run in line.runs]
    assert len({run.type.face for run in runs}) == 1
    assert {run.type.ink for run in runs} == {(0, 0, 0)}
    assert max(run.type.size_px for run in runs) - min(run.type.size_px for run in runs) <= 2
    assert {page.image.getpixel((0, 0)) for page in pages} == {(255, 255, 255)}


def test_letters_stand_apart_as_asked_and_come_together_by_the_last_page():
    def gaps(page):
        """Between the ink of neighbours on a line, in type sizes."""
        for line in page.layout.lines:
            for run in line.runs:
                for left, right in itertools.pairwise(run.glyphs()):
                    yield (right.box[0] - left.box[2]) / run.type.size_px

    pages = make(kinds=("words",), num_pages=40, characters=(24, 24), spacing=(2.0, 0.0))
    first = [gap for n in range(8) for gap in gaps(pages.page(n))]
    assert min(first) > 0.5 and 0.9 < sum(first) / len(first) < 2.5
    usual = make(kinds=("words",), num_pages=40, characters=(24, 24))
    assert pages.page(39).image.tobytes() == usual.page(39).image.tobytes()


@pytest.mark.parametrize("number", range(6))
def test_letters_that_stand_apart_lie_in_their_boxes_within_the_page(number):
    page = make(kinds=("words",), variety=(0.0, 0.0), spacing=(1.5, 1.5)).page(number)
    ink = 255 - np.asarray(page.image.convert("L"), dtype=int)
    assert ink.sum() > 0
    for box in (*(glyph.box for glyph in page.glyphs), *(line.box for line in page.layout.lines)):
        assert box[0] >= 0 and box[2] <= page.image.width
    for x1, y1, x2, y2 in (glyph.box for glyph in page.glyphs):
        x1, y1, x2, y2 = math.floor(x1), math.floor(y1), math.ceil(x2) + 1, math.ceil(y2) + 1
        assert ink[y1:y2, x1:x2].sum() > 0
        ink[y1:y2, x1:x2] = 0
    assert ink.sum() == 0


def test_the_share_of_varied_pages_moves_from_the_first_to_the_last():
    stream_of_pages = make(kinds=("words",), num_pages=120, variety=(0.0, 1.0))

    def plain(number):
        return stream_of_pages.page(number).layout.lines[0].runs[0].type.ink == (0, 0, 0)

    early, late = (sum(map(plain, numbers)) for numbers in (range(30), range(90, 120)))
    assert early >= 24 and late <= 15


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"kinds": ("word",)}, "unknown kind 'word'; did you mean words"),
        ({"kinds": ("words", "letters")}, "letters need at least 360 pixels, got 128"),
    ],
)
def test_what_cannot_be_drawn_is_refused_at_once(changes, message):
    with pytest.raises(UsageError, match=message):
        make(**changes)


@given(seed=st.integers(0, 10**6), size=st.integers(64, 300), most=st.integers(1, 300))
def test_words_lie_within_their_square_picture_and_limit(seed, size, most):
    layout = lay_out_page(seed, 0, "words", size=size, max_characters=most)
    assert layout.width == layout.height == size
    assert len(layout.lines) >= 1 and layout.text
    assert sum(len(line.text) for line in layout.lines) <= most + len(layout.lines)
    for line in layout.lines:
        left, _, right, _ = line.box
        assert left >= -2 and right <= size + 2  # italics lean over their width


@given(seed=st.integers(0, 10**6), most=st.integers(1, 60))
def test_a_text_is_no_longer_than_it_may_be(seed, most):
    assert len(some_text(stream(seed), most)) <= most
