"""The report: true to the scores, self-contained, and safe whatever a model or a dataset holds."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from deepseek_ocr.errors import PageError
from deepseek_ocr.evaluation.report import report_html
from deepseek_ocr.evaluation.report_chart import NUM_BARS, count_by_step, distribution
from deepseek_ocr.evaluation.report_rows import MAX_SIDE, choose_examples, jpeg_data_uri
from deepseek_ocr.evaluation.summary import summarize

from .samples import annotations, open_grey, scored

HOSTILE = (
    "</div></script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&lt;\u202e\ud800\x00"
)
VOID = {"meta", "input", "img", "wbr", "line", "rect"}


class Page(html.parser.HTMLParser):
    """Checks that every tag is closed, and keeps the tags and the text."""

    def __init__(self, source: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def report_of(rows, *, open_page=open_grey, **run):
    summary = {
        "run": {"model_path": "runs/a/best", "test_file": "split/test.json", **run},
        **summarize(rows, seed=0),
    }
    return report_html(rows, summary, open_page=open_page)


def some_rows(count=20):
    return [scored("a cat"[: n % 6] + "x" * (n // 6), "a cat", number=n) for n in range(count)]


def test_the_page_allows_nothing_but_its_own_style_and_pictures():
    source = report_of(some_rows())
    page = Page(source)
    policy = next(a["content"] for t, a in page.tags if a.get("http-equiv"))
    style = re.search(r"<style>(.*?)</style>", source, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.split("; ") == [
        "default-src 'none'",
        "img-src data:",
        f"style-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "a", "base"}
    for _, attributes in page.tags:
        assert attributes.get("src", "data:image/jpeg").startswith("data:image/jpeg")
        assert "style" not in attributes
        assert not any(name.startswith("on") for name in attributes)
    assert "url(" not in style
    assert "@import" not in style


def test_hostile_text_stays_text_wherever_it_comes_from():
    (annotation,) = annotations([HOSTILE])
    object.__setattr__(annotation, "id", HOSTILE)
    object.__setattr__(annotation, "images", (HOSTILE,))
    row = scored(HOSTILE, HOSTILE + "!", status="truncated", reason=HOSTILE)
    failed = scored("", HOSTILE, number=1, status="failed", reason=HOSTILE)
    for hostile in (row, failed):
        object.__setattr__(hostile, "annotation", annotation)

    def open_page(reference):
        raise PageError(reference)

    source = report_of([row, failed], model_path=HOSTILE, test_file=HOSTILE, open_page=open_page)
    page = Page(source)
    source.encode("utf-8")
    assert not {"script", "img"} & {tag for tag, _ in page.tags}
    assert page.text.count("<script>alert(1)</script>") >= 8
    assert "\u202e" not in source


def test_hostile_names_cannot_leave_an_attribute():
    row = scored("a", "b")
    object.__setattr__(row.annotation, "images", (HOSTILE,))
    page = Page(report_of([row], open_page=lambda reference: open_grey("0.png")))
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    assert [set(attributes) for attributes in pictures] == [{"alt", "src"}]


def test_the_page_shows_the_scores_of_metrics_json():
    page = Page(report_of([scored("cut", "cat"), scored("catch", "catch", number=1)]))
    assert "12.50\xa0%" in page.text  # one error of eight characters
    assert "2 rows of 2 documents" in page.text
    assert "1 of 2 rows" in page.text


def test_failed_rows_are_listed_with_their_reason():
    rows = [*some_rows(3), scored("", "x", number=9, status="failed", reason="no memory left")]
    page = Page(report_of(rows))
    assert "Failed rows" in page.text
    assert "no memory left" in page.text
    assert "no memory left" not in Page(report_of(rows[:3])).text


def test_pictures_are_embedded_small():
    uri = jpeg_data_uri(Image.new("RGB", (3000, 1500), "white"))
    picture = Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))))
    assert (picture.format, picture.size) == ("JPEG", (MAX_SIDE, MAX_SIDE // 2))


def test_a_picture_that_is_gone_is_named_with_the_reason():
    def open_page(reference):
        raise PageError(f"{reference}: does not exist")

    page = Page(report_of(some_rows(1), open_page=open_page))
    assert "0.png: does not exist" in page.text


def test_rows_of_text_only_and_of_many_pictures_have_a_report():
    rows = some_rows(2)
    object.__setattr__(rows[0].annotation, "images", ())
    object.__setattr__(rows[1].annotation, "images", tuple(f"{n}.png" for n in range(7)))
    page = Page(report_of(rows))
    assert "no picture: text only" in page.text
    assert "3 more of this row not shown" in page.text
    assert sum(tag == "img" for tag, _ in page.tags) == 4


def test_a_very_long_answer_is_cut_and_said_to_be():
    page = Page(report_of([scored("ab" * 30_000, "a")]))
    assert "60,000 characters, the first 20,000 shown and compared" in page.text


def test_a_report_without_any_truth_or_answer_is_a_page():
    Page(report_of([scored("", "")]))
    Page(report_of([scored("", "", status="failed", reason="no memory")]))


def test_the_same_rows_give_the_same_bytes():
    assert report_of(some_rows()) == report_of(some_rows())


@given(st.integers(0, 40))
def test_examples_are_distinct_and_worst_first(count):
    rows = [*some_rows(count), scored("", "x", number=99, status="failed", reason="no memory")]
    chosen = [row for _, group in choose_examples(rows) for row in group]
    assert len({id(row) for row in chosen}) == len(chosen) == min(count, 12)
    assert all(row.result.status != "failed" for row in chosen)
    rates = [row.score.cer for row in chosen]
    assert rates == sorted(rates, reverse=True)
    if count:
        assert rates[0] == max(row.score.cer for row in rows[:-1])
        assert rates[-1] == min(row.score.cer for row in rows[:-1])


@pytest.mark.parametrize(
    ("rate", "bar"), [(0.0, 0), (0.049, 0), (0.05, 1), (0.999, 19), (1.0, 19), (1.01, 20), (35, 20)]
)
def test_a_rate_is_counted_in_its_step(rate, bar):
    counts = count_by_step([rate])
    assert counts.index(1) == bar
    assert (len(counts), sum(counts)) == (NUM_BARS + 1, 1)


def test_the_distribution_counts_every_row():
    drawn = distribution([0.01] * 3 + [0.5, 7.0])
    assert sum(int(n) for n in re.findall(r"%: (\d+) rows?</title>", drawn)) == 5
    Page(distribution([]))
