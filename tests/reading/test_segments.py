from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.reading.segments import segments

from .answers import ANSWERS


def found(text):
    return [(segment.kind, segment.content) for segment in segments(text)]


@pytest.mark.parametrize(
    "text, pieces",
    [
        ("", []),
        ("plain", [("text", "plain")]),
        ("a \\( x \\) b", [("text", "a "), ("formula", "x"), ("text", " b")]),
        ("\\[x\n\n=y\\]", [("display", "x\n\n=y")]),
        ("$$a$b$$", [("display", "a$b")]),
        ("\\(a\n\nb\\)", [("text", "\\(a\n\nb\\)")]),
        ("\\\\(a\\)", [("text", "\\\\(a\\)")]),
        ("a $x^2$ b", [("text", "a "), ("formula", "x^2"), ("text", " b")]),
        ("$5 and $6", [("text", "$5 and $6")]),
        ("$ x$ $x $ $x\ny$", [("text", "$ x$ $x $ $x\ny$")]),
        ("$a$5", [("text", "$a$5")]),
        ("```py\na\n```\nb", [("code", "a"), ("text", "\nb")]),
        ("~~~\n```\n~~~", [("code", "```")]),
        ("````\n```\n`````", [("code", "```")]),
        ("```\nopen", [("code", "open")]),
        ("``` a`b\nc", [("text", "``` a`b\nc")]),
        ("x ```\ny", [("text", "x ```\ny")]),
        ("    ```\ny", [("text", "    ```\ny")]),
        (
            "a<table><td>$x$</table>b",
            [("text", "a"), ("table", "<table><td>$x$</table>"), ("text", "b")],
        ),
        (
            "<TABLE>a<table>b</table>c</table>d",
            [("table", "<TABLE>a<table>b</table>c</table>"), ("text", "d")],
        ),
        ("<table><td>open", [("table", "<table><td>open")]),
        ("<tablet>", [("text", "<tablet>")]),
    ],
)
def test_a_text_is_taken_apart(text, pieces):
    assert found(text) == pieces


def test_code_keeps_the_name_of_its_language_and_nothing_else():
    details = [next(iter(segments(f"```{info}\nx\n```"))).detail for info in
               ("c++", " python title=x", "{=html}", "<b>", "")]  # fmt: skip
    assert details == ["c++", "python", "", "", ""]


@given(st.one_of(st.text(), ANSWERS))
def test_nothing_is_lost_but_marks(text):
    pieces = list(segments(text))
    place = 0
    for piece in pieces:
        place = text.index(piece.content, place) + len(piece.content)
    assert all(piece.content for piece in pieces if piece.kind == "text")
    assert all(a.kind != "text" or b.kind != "text" for a, b in itertools.pairwise(pieces))
