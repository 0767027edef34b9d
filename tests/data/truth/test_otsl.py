from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.data.truth.html_tables import table_html
from deepseek_ocr.data.truth.otsl import parse_otsl
from deepseek_ocr.data.truth.structures import Table


@pytest.mark.parametrize(
    "text, html",
    [
        ("<fcel>a<fcel>b<nl><fcel>c<ecel><nl>", "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td><td></td></tr></table>"),
        ("<ched>a<lcel><nl><fcel>c <fcel> d", '<table><tr><td colspan="2">a</td></tr><tr><td>c</td><td>d</td></tr></table>'),
        ("<fcel>a<fcel>b<nl><ucel><fcel>d<nl>", '<table><tr><td rowspan="2">a</td><td>b</td></tr><tr><td>d</td></tr></table>'),
        ("<fcel>a<lcel><nl><ucel><xcel><nl>", '<table><tr><td colspan="2" rowspan="2">a</td></tr><tr></tr></table>'),
    ],
)  # fmt: skip
def test_known_tables(text, html):
    table = parse_otsl(text)
    assert table is not None
    written = table_html(table)
    assert written in (html, html.replace('colspan="2" rowspan="2"', 'rowspan="2" colspan="2"'))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "before<fcel>a<nl>",
        "<fcel>a<nl>after",
        "<fcel>a<nl><fcel>b<fcel>c<nl>",
        "<lcel><fcel>a<nl>",
        "<fcel>a<lcel><nl><ucel><fcel>b<nl>",
    ],
)
def test_other_texts_are_no_tables(text):
    assert parse_otsl(text) is None


tokens = st.sampled_from(["<fcel>", "<ecel>", "<lcel>", "<ucel>", "<xcel>", "<nl>", "a", " "])


@given(st.lists(tokens, max_size=30).map("".join))
def test_it_never_raises(text):
    table = parse_otsl(text)
    if table is not None:
        assert isinstance(table, Table) and table_html(table)
