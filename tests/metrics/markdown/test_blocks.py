"""A page of Markdown taken apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.metrics.markdown.blocks import MAX_BLOCKS, pipe_table_html, split_blocks

PAGE = r"""# Title

First paragraph
of two lines with \(x_1\).

![picture](images/0.jpg)

\[ a = b \]

<table><tr><td>1</td></tr></table>

| h | k |
|---|:-:|
| 1 | 2\|3 |

$$
c
$$ last words"""


def kinds_and_contents(markdown: str) -> list[tuple[str, str]]:
    return [(block.kind, block.content) for block in split_blocks(markdown)]


def test_every_part_of_a_page_is_found_in_its_order():
    assert kinds_and_contents(PAGE) == [
        ("text", "# Title"),
        ("text", "First paragraph\nof two lines with \\(x_1\\)."),
        ("inline formula", "x_1"),
        ("formula", "a = b"),
        ("table", "<table><tr><td>1</td></tr></table>"),
        (
            "table",
            "<table><tr><td>h</td><td>k</td></tr><tr><td>1</td><td>2|3</td></tr></table>",
        ),
        ("formula", "c"),
        ("text", "last words"),
    ]


def test_a_page_without_empty_lines_is_cut_at_every_line():
    assert kinds_and_contents("a\nb") == [("text", "a"), ("text", "b")]


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("```markdown\na\n```\n", [("text", "a")]),
        ("<html><body>a</body></html>", [("text", "a")]),
        (r"\section{One}", [("text", "One")]),
        ("<table><tr><td><table>x</table></td></tr></table>", None),
        (r"\begin{tabular}{l} a \end{tabular}", [("latex table", None)]),
        ("<table> never closed", [("text", "<table> never closed")]),
        ("$$ never closed", [("text", "$$ never closed")]),
        ("a | b\n--|--\n1 | 2\n\nend", [("table", None), ("text", "end")]),
        ("|x| is a norm", [("text", "|x| is a norm")]),
        ("", []),
        ("\n\n \n\n", []),
    ],
)
def test_parts_of_a_page(markdown, expected):
    found = kinds_and_contents(markdown)
    if expected is None:
        expected = [("table", markdown)]
    assert [kind for kind, _ in found] == [kind for kind, _ in expected]
    for (_, content), (_, wanted) in zip(found, expected, strict=True):
        assert wanted is None or content == wanted


def test_nested_tables_are_one_and_an_unclosed_one_hides_none():
    inner = "<table><tr><td>a</td></tr></table>"
    assert kinds_and_contents(f"<table> {inner}")[-1] == ("table", inner)


def test_a_ruler_without_cells_of_its_own_is_no_row():
    assert pipe_table_html(["|a|", "|-|"]) == "<table><tr><td>a</td></tr></table>"


def test_a_page_has_a_limit_of_blocks():
    assert len(split_blocks("a\n\n" * (MAX_BLOCKS + 5))) == MAX_BLOCKS


@given(
    st.lists(
        st.sampled_from(
            [
                "$",
                "$$",
                "\\[",
                "\\]",
                "|",
                "\n",
                "a",
                "<table>",
                "</table>",
                "-",
                "`",
                "\\begin{tabular}",
                "\\end{tabular}",
            ]
        ),
        max_size=30,
    ).map("".join)
)
def test_any_text_can_be_taken_apart_and_places_grow(text):
    places = [block.place for block in split_blocks(text)]
    assert places == sorted(places)
