"""The report: true to the scores, self-contained, and safe whatever a model or a dataset holds."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_ocr.errors import PageError
from deepseek_ocr.evaluation.report import report_html, write_report
from deepseek_ocr.evaluation.report.cards import choose_examples
from deepseek_ocr.evaluation.report.records import records_of

from .samples import breakdown_of, open_grey, other_run, row, scores_of, some_rows, summary_of

HOSTILE = (
    "</div></script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&lt;\u202e\ud800\x00"
)
VOID = {"meta", "input", "img", "wbr", "line", "rect", "circle", "path", "br", "hr"}


class Page(html.parser.HTMLParser):
    """Checks that every tag is closed, and keeps the tags, the text, and the JSON apart."""

    def __init__(self, source: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.scripts = "", []
        self.feed(source)
        self.close()
        assert not [tag for tag in self.open if tag != "p"]

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        else:
            self.text += data


def report_of(rows, *, open_page=open_grey, other=None, **more):
    return report_html(rows, summary_of(rows, **more), open_page=open_page, other=other)


def digest(source: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


def test_the_page_allows_nothing_but_its_own_style_script_and_pictures():
    source = report_of(some_rows())
    page = Page(source)
    policy = next(a["content"] for t, a in page.tags if a.get("http-equiv"))
    style = re.search(r"<style>(.*?)</style>", source, re.S)[1]
    script = re.search(r"<script>(.*?)</script>", source, re.S)[1]
    assert policy.split("; ") == [
        "default-src 'none'",
        "img-src data:",
        f"style-src '{digest(style)}'",
        f"script-src '{digest(script)}'",
        "require-trusted-types-for 'script'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert not {tag for tag, _ in page.tags} & {"link", "iframe", "object", "base", "form"}
    for tag, attributes in page.tags:
        assert (attributes.get("src") or "data:image/jpeg").startswith("data:image/jpeg")
        assert (attributes.get("href") or "#").startswith("#")
        assert "style" not in attributes
        assert not any(name.startswith("on") for name in attributes)
        if tag == "script":
            assert attributes.get("type") in (None, "application/json")
    assert "url(" not in style
    assert "@import" not in style
    assert "innerHTML" not in script


def test_hostile_text_stays_text_wherever_it_comes_from():
    more = {"id": HOSTILE, "images": [HOSTILE], "reason": HOSTILE, "group": HOSTILE}
    table = f"<table><tr><td onclick=x>{HOSTILE}</td></tr></table>"
    rows = [
        row(f"# {HOSTILE}\n{table}", HOSTILE + "!", status="truncated", **more),
        row("", HOSTILE, status="failed", **more | {"id": "b"}),
        row(f"[a](javascript:alert(1)) ![b](http://x/y) {table}", "# x", **more | {"id": "c"}),
    ]

    def open_page(reference):
        raise PageError(reference)

    run = {"model_path": HOSTILE, "test_file": HOSTILE}
    bench = {"name": HOSTILE, "columns": [HOSTILE], "values": [1.0], "reasons": {HOSTILE: HOSTILE},
             "published": [[HOSTILE, [None]]], "notes": [HOSTILE], "detail": {}}  # fmt: skip
    source = report_of(
        rows,
        run=run,
        open_page=open_page,
        benchmark=bench,
        other=other_run(rows, HOSTILE),
        breakdowns={"group": breakdown_of(rows, "group")},
    )
    page = Page(source)
    source.encode("utf-8")
    assert sum(tag == "script" and not a for tag, a in page.tags) == 1
    assert not {"img", "a"} & {tag for tag, a in page.tags if tag != "a" or a["href"][0] != "#"}
    assert page.text.count("<script>alert(1)</script>") >= 8
    assert "\u202e" not in source


def test_the_page_shows_the_scores_of_metrics_json():
    page = Page(report_of([row("cut", "cat"), row("catch", "catch", number=1)]))
    assert "12.50\xa0%" in page.text  # one error of eight characters
    assert "2 rows of 2 documents" in page.text
    assert "1 of 2 rows" in page.text


def test_failed_rows_are_listed_with_their_reason():
    rows = [*some_rows(3), row("", "x", number=9, status="failed", reason="no memory left")]
    assert "Failed rows" in report_of(rows)
    assert "no memory left" in Page(report_of(rows)).text
    assert "no memory left" not in Page(report_of(rows[:3])).text


def test_all_rows_are_in_the_page_for_its_list():
    rows = [row("a\U0001f600c", "ab\U0001f600c\U0001f600", number=n) for n in range(230)]
    page = Page(report_of(rows))
    blocks = [json.loads(script) for script in page.scripts[:-1]]
    assert blocks[0]["id"] == [f"row-{n}" for n in range(230)]
    assert [len(block) for block in blocks[1:]] == [100, 100, 30]
    truth, length, _, images, answer, other, _ = blocks[1][0]
    assert (truth, length, images, other) == ("ab\U0001f600c\U0001f600", 5, ["0.png"], None)
    assert answer == [[1, 1, "", 3, 2, ""], 3]  # lengths as JavaScript counts them


def test_everything_that_a_summary_may_hold_has_its_place():
    rows = [row("cut", "cat", number=n, group=f"g{n % 2}", baseline_prediction="c", baseline_cer=0.6)
            for n in range(20)]  # fmt: skip
    compared = {
        "this": 0.1,
        "other": 0.2,
        "difference": -0.1,
        "interval": [-0.2, 0.0],
        "p_value": 0.04,
    }
    text = Page(
        report_of(
            rows,
            other=other_run(some_rows(), "the base model"),
            baseline={"name": "tesseract 5.3.0", "lang": "eng", "num_failed": 2, "differences": {"cer": compared},
                      "scores": {"raw": scores_of(rows, "baseline_prediction")}},
            comparison={"only_here": 3, "only_there": 0, "cer": compared},
            breakdowns={"group": breakdown_of(rows, "group"), "lang": None},
            graphemes={"cer": scores_of(rows)["cer"]},
            words={"bag_of_words": {"rate": 0.25}, "bleu": None, "fox": {"f1": 0.5, "precision": 0.5, "recall": 0.5}},
            markdown={"teds": {"mean": 0.75, "num_rows": 4}, "formula_edit": None},
            fields={"f1": 0.5, "tree_edit_accuracy": 0.25, "num_rows": 3, "num_unreadable": 1},
            tokens={"text": {"total": 60, "mean": 3.0, "max": 3}, "image": {"total": 0, "mean": 0, "max": 0},
                    "compression": {"paper": 9.5, "decoder": None}},
        )
    ).text  # fmt: skip
    for said in ("Against the base model", "Against tesseract 5.3.0 (eng)", "could not read 2 rows", "20 better", "−10.00\xa0pp", "0.040", "By document",
                 "grapheme clusters", "TEDS", "tree edit accuracy", "1 answer no JSON", "9.50×"):  # fmt: skip
        assert said in text


def test_how_given_answers_ended_is_told_as_their_file_tells_it():
    rows = some_rows(3)
    summary = summary_of(rows)
    by_model, given = ({"model_path": "run/best"}, {"from_predictions": "answers.jsonl"})
    for run, is_given in ((by_model, False), (given, True)):
        text = Page(report_html(rows, summary | {"run": run}, open_page=open_grey)).text
        assert ("The answers were given" in text) == is_given
        assert ("decoded greedily" in text) != is_given


def test_a_picture_that_is_gone_is_named_with_the_reason():
    def open_page(reference):
        raise PageError(f"{reference}: does not exist")

    assert "0.png: does not exist" in Page(report_of(some_rows(1), open_page=open_page)).text


def test_rows_of_text_only_and_of_many_pictures_have_a_report():
    rows = [row("a", "b", images=[]), row("a", "b", images=[f"{n}.png" for n in range(7)])]
    page = Page(report_of(rows))
    assert "no picture: text only" in page.text
    assert "3 more of this row not shown" in page.text
    assert sum(tag == "img" for tag, _ in page.tags) == 4


def test_boxes_of_truth_and_answer_are_drawn_over_the_page():
    answer = "<|ref|>ti<b>tle<|/ref|><|det|>[[0, 0, 999, 999]]<|/det|>\nx"
    regions = [{"label": "table", "box": [1, 2, 11, 12], "text": ""}, {"label": "odd", "box": "x"}]
    source = report_of([row(answer, "x", regions=regions)])
    Page(source)
    assert '<g class="answer"><rect x="0.0" y="0.0" width="30.0" height="20.0">' in source
    assert '<g class="truth"><rect x="1.0" y="2.0" width="10.0" height="10.0">' in source
    assert "ti&lt;b&gt;tle" in source


def test_a_very_long_answer_is_cut_and_said_to_be():
    page = Page(report_of([row("ab" * 30_000, "a")]))
    assert "60,000 characters, the first 20,000 shown and compared" in page.text


def test_a_report_without_any_truth_or_answer_is_a_page():
    Page(report_of([row("", "")]))
    Page(report_of([row("x", "")]))
    Page(report_of([row("", "", status="failed", reason="no memory")]))


def test_the_same_rows_give_the_same_bytes_and_the_file_holds_them(tmp_path):
    rows = some_rows()
    write_report(tmp_path / "report.html", rows, summary_of(rows), open_page=open_grey)
    assert (tmp_path / "report.html").read_text("utf-8") == report_of(rows)


@settings(max_examples=25)
@given(st.integers(0, 40), st.booleans())
def test_examples_are_distinct_and_worst_first(count, compared):
    rows = [*some_rows(count), row("", "x", number=99, status="failed")]
    other = other_run(some_rows(30)[::-1]) if compared else None
    records = records_of(rows, {"this": "a"}, other)
    groups = choose_examples(records)
    chosen = [record for _, _, group in groups for record in group]
    assert all(record.answer.status != "failed" for record in chosen)
    if not compared:
        assert len({record.place for record in chosen}) == len(chosen) == min(count, 12)
        rates = [record.answer.cer for record in chosen]
        assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize("name", ["style.css", "script.js"])
def test_the_page_has_its_assets_beside_the_code(name):
    from importlib import resources

    assert resources.files("deepseek_ocr.evaluation.report").joinpath(name).is_file()
