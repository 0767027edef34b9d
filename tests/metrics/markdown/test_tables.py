"""TEDS: the published values, known tables, and what a model may write instead of a table."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deepseek_ocr.metrics.markdown import TableScore, table_score, teds
from deepseek_ocr.metrics.markdown.tables import (
    MAX_CHARS,
    OMNIDOCBENCH_FORM,
    cell_texts,
    omnidocbench_html,
)

from .published import documents, needs_documents, tables

TWO_BY_TWO = "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td><td>d</td></tr></table>"


@needs_documents
def test_teds_equals_the_published_values_of_all_single_tables():
    compared = 0
    for prediction, truth, published in documents("mineru"):
        found, true = tables(prediction), tables(truth)
        if len(found) == len(true) == 1:
            compared += 1
            score = table_score(found[0], true[0])
            assert score.teds == pytest.approx(float(published["teds"]), abs=1e-9)
            assert score.teds_s == pytest.approx(float(published["teds_s"]), abs=1e-9)
    assert compared == 12


@pytest.mark.parametrize(
    ("prediction", "expected", "structure"),
    [
        (TWO_BY_TWO, 1, 1),
        (TWO_BY_TWO.replace(">d<", ">x<"), 1 - 1 / 7, 1),
        (TWO_BY_TWO.replace("<td>d</td>", ""), 1 - 1 / 7, 1 - 1 / 7),
        (TWO_BY_TWO.replace("<td>d", '<td colspan="2">d'), 1 - 1 / 7, 1 - 1 / 7),
        ("<table></table>", 1 - 6 / 7, 1 - 6 / 7),
        ("no table", 0, 0),
        ("", 0, 0),
    ],
)
def test_teds_of_known_tables(prediction, expected, structure):
    assert teds(prediction, TWO_BY_TWO) == pytest.approx(expected)
    assert teds(prediction, TWO_BY_TWO, structure_only=True) == pytest.approx(structure)


def test_what_does_not_count_in_our_form():
    other = (
        "<table border=1><thead>\n<tr><th> a </th><th>b</th></tr></thead>\n"
        "<tbody><tr><td style='x'>c</td><td>\n d\n</td></tr></tbody></table>"
    )
    assert teds(other, TWO_BY_TWO) == 1
    assert teds("<table><tr><td>x &amp; y</td></tr></table>", "<table><tr><td>x & y</table>") == 1


def test_omnidocbench_keeps_blanks_at_the_ends_of_cells_and_joins_lines():
    assert omnidocbench_html("<th>a\nb</th>  <td>ﬁ</td>") == "<td>ab</td> <td>fi</td>"
    assert omnidocbench_html("<tr>\n  <td>\n</td> </tr>") == "<tr><td></td> </tr>"
    math = '<td><math class="x" alttext="a^2"><mi>a</mi></math></td>'
    assert omnidocbench_html(math) == "<td>$a^2$</td>"
    assert omnidocbench_html("<thead><TH>x<sup>2</sup></TH></thead>") == "<td>x2</td>"
    blank = TWO_BY_TWO.replace(">a<", "> a<")
    assert table_score(blank, TWO_BY_TWO).teds == 1
    published = table_score(blank, TWO_BY_TWO, form=OMNIDOCBENCH_FORM)
    assert published.teds == pytest.approx(1 - 0.5 / 6)  # the table itself is no node there


def test_a_tag_inside_a_cell_is_one_character():
    bold = TWO_BY_TWO.replace("<td>a</td>", "<td><b>a</b></td>")
    assert teds(bold, TWO_BY_TWO) == pytest.approx(1 - (2 / 3) / 7)
    published = table_score(bold, TWO_BY_TWO, form=OMNIDOCBENCH_FORM)
    assert published.teds == pytest.approx(1 - (2 / 3) / 7)  # less the table, and with the tag


@pytest.mark.parametrize("span", ["99999999999999999999", "two", "1.5", "9" * 5000])
def test_an_absurd_span_scores_nothing_and_says_why(span):
    score = table_score(f"<table><tr><td colspan='{span}'>a</td></tr></table>", TWO_BY_TWO)
    assert (score.teds, score.teds_s) == (0, 0)
    assert "colspan" in score.reason


def test_a_large_span_makes_no_room():
    assert 0 < teds(TWO_BY_TWO.replace("<td>d", '<td rowspan="999999999">d'), TWO_BY_TWO) < 1


@pytest.mark.parametrize(
    "prediction",
    [
        "<table>" * 20_000,
        "<table><tr>" + "<td><div>" * 20_000,
        "<table><tr><td>\x00\ud800\udfff&#xD800;</td></tr></table>",
        "<table><tr><td>" + "x" * MAX_CHARS,
        "<table>" + "<tr><td>1</td></tr>" * 40_000 + "</table>",
        "<table><math alttext=" * 5_000 + "<colgroup>" * 5_000,
        "<![CDATA[<table>]]><?php <table> ?><!-- <table> -->",
    ],
)
def test_what_is_hardly_a_table_is_scored_all_the_same(prediction):
    score = table_score(prediction, TWO_BY_TWO)
    assert 0 <= score.teds <= score.teds_s < 0.5
    published = table_score(prediction, TWO_BY_TWO, form=OMNIDOCBENCH_FORM)
    assert 0 <= published.teds <= published.teds_s <= 1


@settings(max_examples=100, deadline=None)
@example("<table><tr><td/></table>")
@given(
    st.lists(
        st.sampled_from(
            ["<table>", "</table>", "<tr>", "<td>", "</td>", "<b>", "&lt;", "é", "<", " "]
        )
        | st.text(max_size=5),
        max_size=20,
    ).map("".join)
)
def test_any_text_has_a_score_and_equals_itself_if_it_is_a_table(text):
    assert isinstance(table_score(text, TWO_BY_TWO), TableScore)
    score = table_score(text, text)
    assert score.reason or score.teds == score.teds_s == 1


def test_the_texts_of_cells():
    html = "<table><tr><td>a $\\cdot$</td><td><b>c</b></td><td>x<b>y</b></td><td></td></tr></table>"
    assert cell_texts(html) == ["a", "c"]
    assert cell_texts("none") == []
