"""Marked differences lose no character, add no markup of the texts, and are what CER counts."""

from __future__ import annotations

import html.parser

from hypothesis import example, given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from deepseek_ocr.evaluation.report.differences import mark_differences, plain, visible

ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=30) | st.text(
    "<&>\"'a\n", max_size=20
)


class Reader(html.parser.HTMLParser):
    """The characters that a reader sees, the tags, and the marked characters."""

    def __init__(self, source: str):
        super().__init__()
        self.shown, self.tags, self.marked, self.open = "", [], 0, []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, *attributes))
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "span":  # an unseen character's code point
            data = "".join(chr(int(code, 16)) for code in data.split("U+")[1:])
        self.shown += data
        if {"del", "ins"} & set(self.open):
            self.marked += len(data)


ALLOWED = {
    ("del",),
    ("ins",),
    ("span", ("class", "unseen")),
    ("span", ("class", "newline")),
}


@given(ANY_TEXT, ANY_TEXT)
@example("</div><script>alert(1)</script>", "&lt;b&gt;\u202e\ud800\x00\r")
def test_both_texts_can_be_read_in_full_and_hold_no_markup_of_their_own(truth, prediction):
    for source, text in zip(mark_differences(truth, prediction), (truth, prediction), strict=True):
        reader = Reader(source)
        assert reader.shown == text
        assert set(reader.tags) <= ALLOWED
        assert not reader.open
        source.encode("utf-8")


@given(st.text("abc", max_size=20), st.text("abc", max_size=20))
def test_the_marked_characters_are_the_counted_errors(truth, prediction):
    missed, wrong = (Reader(source).marked for source in mark_differences(truth, prediction))
    errors = Levenshtein.distance(truth, prediction)
    assert max(missed, wrong) <= errors <= missed + wrong


@given(ANY_TEXT)
def test_equal_texts_have_no_marks(text):
    assert mark_differences(text, text) == (visible(text), visible(text))


def test_known_differences():
    assert mark_differences("a cat\n", "a cut") == (
        'a c<del>a</del>t<del><span class="newline"></span>\n</del>',
        "a c<ins>u</ins>t",
    )


@given(ANY_TEXT)
def test_an_attribute_cannot_be_left(text):
    assert not set(plain(text)) & set("<>\"'\x00\u202e\ud800")
