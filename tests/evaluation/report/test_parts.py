"""Edits give the answers back, rendered Markdown is harmless, charts count every row."""

from __future__ import annotations

import base64
import html.parser
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from deepseek_ocr.evaluation.report.charts import (
    BAR_STEPS,
    BASE,
    LEFT,
    MAX_STEPS,
    NUM_BARS,
    RIGHT,
    TOP,
    against,
    bar_step,
    by_length,
    concentration,
    count_by_step,
    cumulative,
    distribution,
    intervals,
    length_ticks,
    nice_step,
    scale_of,
)
from deepseek_ocr.evaluation.report.edits import Confusions, changes, count_confusions, encoded
from deepseek_ocr.evaluation.report.pictures import MAX_SIDE, jpeg_data_uri
from deepseek_ocr.evaluation.report.rendering import MAX_SPAN, is_marked_up, rendered, safe_table

TEXT = st.text("ab\U0001f600\n <", max_size=20)
MARKDOWN = st.lists(
    st.sampled_from(
        ["<table>", "</table>", "<tr>", "<td", ">", "<script>", "[a](javascript:x)", "![b](x)", "# ",
         "\n", "- ", "> ", "$$", "\\(", "\\)", "|", "---", "`", "```x\n", "**", "<|ref|>t<|/ref|>",
         "<|det|>[[1,2,3,4]]<|/det|>", "a", "&lt;", '" onclick="x', "colspan=9", "<http://x>",
         "[a]: javascript:x\n", "\ud800", "\x00", "\u202e"]
    ), max_size=25
).map("".join)  # fmt: skip
ALLOWED = {
    "h1", "h2", "h3", "h4", "h5", "h6", "p", "ul", "ol", "li", "blockquote", "em", "strong", "code",
    "pre", "br", "hr", "table", "thead", "tbody", "tr", "th", "td", "span",
}  # fmt: skip


class Tags(html.parser.HTMLParser):
    def __init__(self, source: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))


def utf16(text: str) -> bytes:
    return text.encode("utf-16-le", "surrogatepass")


@given(TEXT, TEXT)
def test_an_answer_is_the_truth_with_its_changes(truth, answer):
    flat, found, at = encoded(changes(truth, answer), truth), b"", 0
    source = utf16(truth)
    for alike, missed, invented in zip(flat[::3], flat[1::3], flat[2::3], strict=True):
        found += source[2 * at : 2 * (at + alike)] + utf16(invented)
        at += alike + missed
    assert found + source[2 * at :] == utf16(answer)


def test_confusions_are_counted_as_a_reader_sees_them():
    found = Confusions()
    for truth, answer in (("burn", "bum"), ("turn", "tum"), ("a b", "ab"), ("long word", "")):
        count_confusions(changes(truth, answer), found)
    assert found == {("rn", "m"): 2, (" ", ""): 1}


@given(MARKDOWN)
def test_rendered_markdown_holds_harmless_tags_alone(text):
    for tag, attributes in Tags(rendered(text)).tags:
        assert tag in ALLOWED
        assert set(attributes) <= {"class", "colspan", "rowspan", "start"}
        assert attributes.get("class") in (None, "formula", "unseen", "missing")


def test_rendered_markdown_shows_what_it_means():
    shown = rendered(
        "# A\n\n**b** \\(x_1\\)\n\n| c |\n|:-:|\n| d |\n\n<|ref|>t<|/ref|><|det|>[[1,2,3,4]]<|/det|>e"
    )
    assert "<h1>A</h1>" in shown
    assert "<strong>b</strong>" in shown
    assert "<code class=formula>x_1</code>" in shown
    assert "<td>d</td>" in shown
    assert "det" not in shown


def test_a_table_is_written_anew_from_its_cells():
    source = (
        '<table border=1><tr><th colspan=2 onclick="x">a<b>b</b></th></tr><tr><td>&lt;i&gt;</td>'
    )
    assert safe_table(source) == (
        '<table><tbody><tr><th colspan="2">ab</th></tr><tr><td>&lt;i&gt;</td></tr></tbody></table>'
    )
    assert f'colspan="{MAX_SPAN}"' in safe_table("<table><td colspan=9999>a")
    assert "colspan" not in safe_table("<table><td colspan=999999999999>a")


def test_deep_and_huge_markup_is_shown_or_refused_but_never_raises():
    for text in (
        "> " * 9000,
        "<table>" * 3000,
        "<table>" + "<td>x" * 9000,
        "[" * 9000,
        "$$" * 9000,
    ):
        assert isinstance(rendered(text), str)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("# a", True), ("a | b", False), ("2. Das", False), ("<table>", True), ("x \\(y\\)", True),
     ("1 - 2", False), ("**a**", True), ("", False)],
)  # fmt: skip
def test_only_marked_up_texts_have_a_rendered_view(text, expected):
    assert is_marked_up(text) is expected


def test_pictures_are_embedded_small():
    uri = jpeg_data_uri(Image.new("RGB", (3000, 1500), "white"))
    picture = Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))))
    assert (picture.format, picture.size) == ("JPEG", (MAX_SIDE, MAX_SIDE // 2))


@pytest.mark.parametrize(
    ("rate", "bar"), [(0.0, 0), (0.049, 0), (0.05, 1), (0.999, 19), (1.0, 19), (1.01, 20), (35, 20)]
)
def test_a_rate_is_counted_in_its_step(rate, bar):
    counts = count_by_step([rate], 0.05)
    assert counts.index(1) == bar
    assert (len(counts), sum(counts)) == (NUM_BARS + 1, 1)


@given(st.lists(st.floats(0, 3)))
def test_the_distribution_counts_every_row(rates):
    drawn = distribution(rates)
    assert sum(int(n) for n in re.findall(r"%: (\d+) rows?</title>", drawn)) == len(rates)
    assert bar_step(rates) in BAR_STEPS


@pytest.mark.parametrize(
    ("least", "most", "ticks"),
    [
        (1, 2000, [1, 10, 100, 1000]),
        (10, 100, [10, 100]),
        (428, 1900, [500, 1000]),
        (13, 57, [20, 50]),
        (428, 516, [428, 516]),
        (7, 7, [7]),
    ],
)
def test_an_axis_of_lengths_always_tells_its_scale(least, most, ticks):
    assert length_ticks(least, most) == ticks


@given(st.lists(st.integers(0, 50), min_size=1, max_size=1500).filter(any))
def test_the_worst_rows_never_hold_less_than_their_share(errors):
    path = re.search(r'class="curve this" d="M([^"]+)"', concentration({"this": errors}))[1]
    places = [tuple(map(float, place.split())) for place in path.split("L")]
    for x, y in places:
        even = BASE - (BASE - TOP) * (x - LEFT) / (RIGHT - LEFT)
        assert y <= even + 0.2
    assert places[-1] == (RIGHT, TOP)
    assert len(places) <= MAX_STEPS + 2


@pytest.mark.parametrize(
    ("rates", "end"), [([0.1, 1.0], 1.0), ([0.03] * 99 + [5.0], 0.04), ([0.5] * 5 + [0.02], 0.6)]
)
def test_a_scale_holds_nearly_all_rows_and_of_few_all(rates, end):
    assert scale_of(rates) == end


def test_charts_of_nothing_are_charts():
    for drawn in (cumulative({}), concentration({"this": [0]}), by_length([], []), against([], []),
                  intervals([("CER micro", [("this", None, None)])])):  # fmt: skip
        assert drawn.startswith("<svg")
        assert drawn.endswith("</svg>")


@pytest.mark.parametrize(("least", "step"), [(0.011, 0.02), (0.02, 0.02), (0.21, 0.5), (0.7, 1)])
def test_steps_of_axes_are_round(least, step):
    assert nice_step(least) == pytest.approx(step)
