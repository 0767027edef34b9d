"""The report in a real browser: its list, filters, search and keys; skipped where there is none."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from deepseek_ocr.evaluation.report import write_report

from .browser import Browser, find_browser
from .samples import breakdown_of, open_grey, other_run, row, summary_of

HOSTILE = "</script><script>window.owned = 1</script><img src=x onerror='window.owned = 2'>"
SHOWN = "document.querySelector('.detail h4').textContent"
TALLY = "document.querySelector('.tools output').value"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    rows = [
        row("cat" + "x" * (n % 7), "cat", number=n, lang=("de", "en")[n % 2], group=None)
        for n in range(400)
    ]
    rows[7] = row(
        HOSTILE + "\U0001f600needle", "# a\nb", number=7, lang="en", reason=HOSTILE, id=HOSTILE
    )
    summary = summary_of(rows, breakdowns={"lang": breakdown_of(rows, "lang")})
    write_report(path, rows, summary, open_page=open_grey, other=other_run(rows))
    return path


@pytest.fixture(scope="module")
def browser():
    path = find_browser()
    if path is None:
        pytest.skip("no Chromium on PATH: the report is not tried in a browser")
    with Browser(path) as browser:
        yield browser


def test_the_page_runs_without_an_error_and_asks_for_nothing(browser, report):
    browser.open(report)
    assert browser.value(TALLY) == "400 rows"
    assert browser.value("typeof window.owned") == "undefined"
    assert browser.errors == []
    assert {url.split(":")[0] for url in browser.requests} <= {"file", "data", "about"}


def test_keys_go_from_row_to_row(browser, report):
    browser.open(report)
    first = browser.value(SHOWN)
    browser.press("j")
    second = browser.value(SHOWN)
    browser.press("k")
    assert browser.value(SHOWN) == first != second
    browser.press("G")
    assert browser.value("document.querySelector('[aria-selected=true]').ariaPosInSet") == "400"
    browser.press("?")
    assert browser.value("document.querySelector('dialog').open")


def test_a_search_finds_what_one_answer_alone_has_and_marks_it(browser, report):
    browser.open(report)
    browser.press("/")
    for character in "NEEDLE":
        browser.press(character)
    browser.wait_for(f"{TALLY} === '1 of 400 rows'")
    assert browser.value(SHOWN) == HOSTILE
    assert browser.value("document.querySelector('.detail mark').textContent") == "needle"
    assert browser.value("typeof window.owned") == "undefined"
    assert browser.errors == []


def test_a_line_of_a_breakdown_and_a_bar_narrow_the_list(browser, report):
    browser.open(report)
    browser.value("document.querySelector('[data-filter=lang][data-value=de]').click()")
    assert browser.value(TALLY) == "200 of 400 rows"
    browser.value(
        "document.querySelector('rect[data-from]').dispatchEvent(new Event('click', {bubbles: true}))"
    )
    assert browser.value(TALLY) == "29 of 400 rows"


def test_a_link_leads_to_its_row(browser, report):
    browser.open(report, "#row=row-123")
    assert browser.value(SHOWN) == "row-123"


def test_only_the_lines_in_sight_exist(browser, report):
    browser.open(report)
    assert 5 < browser.value("document.querySelectorAll('.list .item').length") < 60


def test_without_scripts_scores_and_examples_are_there(browser, report):
    browser.scripts(allowed=False)
    try:
        browser.open(report)
        picture = Image.open(io.BytesIO(browser.screenshot())).convert("L")
    finally:
        browser.scripts(allowed=True)
    assert picture.getextrema() == pytest.approx((27, 255), abs=30)
    browser.open(report)
    assert browser.value("document.querySelectorAll('#examples article').length") >= 12


def test_it_follows_the_dark_and_the_narrow_screen_and_prints(browser, report):
    browser.open(report)
    browser.show(dark=True)
    assert browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"
    browser.show()
    browser.resize(390, 800)
    assert browser.value("document.documentElement.scrollWidth") <= 390
    assert browser.pdf().startswith(b"%PDF")
    browser.resize(1300, 900)


def test_long_ids_are_told_apart_in_the_list(browser, tmp_path):
    ids = [f"an_archive/a_very_long_folder/and_another/page_{n:04}.jpg" for n in range(2)]
    rows = [row("cat", "cat", number=n, id=id) for n, id in enumerate(ids)]
    write_report(tmp_path / "report.html", rows, summary_of(rows), open_page=open_grey)
    browser.open(tmp_path / "report.html")
    names = browser.value("[...document.querySelectorAll('.item .name')].map(e => e.textContent)")
    assert [name[-8:] for name in names] == ["0000.jpg", "0001.jpg"]
    assert browser.value(
        "[...document.querySelectorAll('.item .name')].every(e => e.scrollWidth <= e.clientWidth)"
    )
    assert browser.value("document.querySelector('.item .name').title") == ids[0]


def test_a_benchmarks_rows_show_how_they_were_scored_and_no_truth(browser, tmp_path):
    rows = [
        row("cut" + "x" * n, "", number=n, verdict=f"{n} of 9 checks passed") for n in range(150)
    ]
    for one in rows:
        for key in ("cer", "wer"):
            del one[key]
    path = tmp_path / "report.html"
    summary = summary_of(rows, scores=None, num_empty_truths=None, benchmark=None)
    write_report(path, rows, summary, open_page=open_grey)
    browser.open(path)
    browser.press("G")
    shown = browser.value("document.querySelector('.detail').textContent")
    assert "149 of 9 checks passed" in shown and "Truth" not in shown and "CER" not in shown
    assert "cutxxx" in browser.value("document.querySelector('.detail .raw').textContent")
    assert browser.value("document.querySelectorAll('.detail ins').length") == 0
    lines = browser.value("document.querySelector('.list').textContent")
    assert "of 9 checks passed" in lines and "wrong" not in lines
    assert browser.value(SHOWN) == "row-149"  # in the order of the file
    assert browser.errors == []
