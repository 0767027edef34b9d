from __future__ import annotations

import html

import hypothesis
import hypothesis.strategies as st
import pytest

from deepseek_ocr.data.truth.html_tokens import Tag, html_tokens


def tokens(markup):
    return [
        t if isinstance(t, str) else (f"/{t.name}" if t.is_end else t.name, t.attributes)
        for t in html_tokens(markup)
    ]


@pytest.mark.parametrize(
    "markup, told",
    [
        ("", []),
        ("a &amp; b&nbsp;&#x41;", ["a & b\xa0A"]),
        (
            "<P CLASS='a b' id=x checked>t</P >",
            [("p", {"class": "a b", "id": "x", "checked": ""}), "t", ("/p", {})],
        ),
        ("<a title=\"x > y; 'q' &quot;\" title=second>", [("a", {"title": "x > y; 'q' \""})]),
        ("<br/><img src=a/b.png />", [("br", {}), ("img", {"src": "a/b.png"})]),
        ("<?xml version='1.0'?><!DOCTYPE html>\n<!-- <p> --><b>", ["\n", ("b", {})]),
        ("1 < 2 <3> a<b", ["1 ", "<", " 2 ", "<", "3> a", "<", "b"]),
        ("<script>if (a < b) '<p>'</SCRIPT>t", [("script", {}), ("/script", {}), "t"]),
        ("t<!-- never closed <p>", ["t"]),
        ("<style>never closed <p>", [("style", {})]),
        ("<a b='never closed>", ["<", "a b='never closed>"]),
    ],
)
def test_markup_is_taken_apart(markup, told):
    assert tokens(markup) == told


def test_tags_tell_their_line_and_whether_they_are_empty():
    found = [t for t in html_tokens("<a>\n\n<b/>x<c\nd='e'>\n</c>") if isinstance(t, Tag)]
    assert [(t.name, t.line, t.is_empty, t.is_end) for t in found] == [
        ("a", 1, False, False),
        ("b", 3, True, False),
        ("c", 3, False, False),
        ("c", 5, False, True),
    ]


@hypothesis.given(st.text("ab<>&;'\"/!-= \n?", max_size=60))
def test_nothing_raises_and_all_text_without_markup_stays(markup):
    found = tokens(markup)
    assert found is not None
    escaped = html.escape(markup)
    assert "".join(tokens(escaped)) == markup


@pytest.mark.parametrize(
    "piece",
    [
        "<",
        "<a ",
        "</",
        "<!--",
        "<!a",
        "<?",
        "&",
        '<a b="',
        "<a b='\"",
        "<a " + "b" * 99,
        "<script>",
    ],
)
def test_hundred_thousand_things_that_are_never_closed_are_read_in_one_pass(piece):
    """Looked at again from each of them, they would take the suite's whole time."""
    assert sum(1 for _ in html_tokens(piece * 100_000)) <= 200_000
