"""olmOCR-bench from its folder to its table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deepseek_ocr.evaluation.benchmarks import olmocr_bench
from deepseek_ocr.evaluation.benchmarks.olmocr.checks import Check
from deepseek_ocr.evaluation.benchmarks.olmocr.katex import NoKatex, find_katex
from deepseek_ocr.evaluation.benchmarks.olmocr.reading import read_bench_data
from deepseek_ocr.evaluation.benchmarks.olmocr_bench import (
    BENCHMARK,
    CHECKS_NAME,
    page_id,
    run_checks,
)

from .olmocr.bench_folder import row, write_bench


@pytest.fixture
def no_katex(monkeypatch):
    def refuse():
        raise NoKatex("KaTeX is not installed")

    monkeypatch.setattr(olmocr_bench, "find_katex", refuse)


@pytest.fixture
def bench(tmp_path) -> Path:
    return write_bench(
        tmp_path / "bench",
        {
            "table_tests": [row("table", "1", cell="x", left="y"), row("table", "2", cell="z")],
            "multi_column": [row("present", "3", "m/b.pdf", text="some words")],
        },
    )


ANSWERS = {"a_pg1_repeat1": "| y | x |\n|---|---|\n| 1 | 2 |", "m/b_pg1_repeat1": "some words"}


def value_of(table, column):
    return dict(zip(table.columns, table.values, strict=True))[column]


def test_pages_are_named_as_published_answers_are(bench):
    pages = BENCHMARK.pages(bench)
    assert [(page.id, page.images) for page in pages] == [
        ("a_pg1_repeat1", ("pdfs/a.pdf#page=1",)),
        ("m/b_pg1_repeat1", ("pdfs/m/b.pdf#page=1",)),
    ]
    assert pages[0].prompt.count("<image>") == 1


def test_shares_stand_in_the_published_columns(bench, tmp_path):
    table = BENCHMARK.score(bench, ANSWERS, tmp_path)
    assert value_of(table, "Tables") == 50.0
    assert value_of(table, "Multi column") == 100.0
    assert value_of(table, "Base") == 100.0
    assert value_of(table, "Overall") == pytest.approx(250 / 3)
    assert value_of(table, "ArXiv") is None
    assert table.reasons["ArXiv"] == "the folder has no .jsonl file of these checks"
    assert dict(table.published)["DeepSeek-OCR"][-1] == 75.7
    assert any("does not compare with the published one" in note for note in table.notes)
    json.dumps(table.to_json(), allow_nan=False)


def test_every_verdict_is_written_with_its_reason(bench, tmp_path):
    BENCHMARK.score(bench, ANSWERS, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / CHECKS_NAME).read_text().splitlines()]
    assert [(line["id"], line["passed"], line["reason"]) for line in lines] == [
        ("3", True, ""),
        ("1", True, ""),
        ("2", False, "no cell is 'z'"),
        ("a.pdf_baseline", True, ""),
        ("m/b.pdf_baseline", True, ""),
    ]


def test_every_page_says_how_many_of_its_checks_passed(bench, tmp_path, no_katex):
    table = BENCHMARK.score(bench, ANSWERS, tmp_path)
    assert set(table.verdicts) == {page.id for page in BENCHMARK.pages(bench)}
    assert sorted(table.verdicts.values()) == ["2 of 2 checks passed", "2 of 3 checks passed"]
    other = tmp_path / "math"
    write_bench(other, {"arxiv_math": [row("math", "1", math="x")]})
    (verdict,) = BENCHMARK.score(other, {}, tmp_path).verdicts.values()
    assert verdict.endswith("1 not run")


def test_a_category_of_another_name_gets_a_column_of_its_own(tmp_path):
    write_bench(tmp_path, {"mine": [row("absent", text="x")]})
    table = BENCHMARK.score(tmp_path, {"a_pg1_repeat1": "y"}, tmp_path)
    assert table.columns[-2:] == ("mine", "Overall")
    assert value_of(table, "mine") == 100.0
    assert dict(table.published)["DeepSeek-OCR"][-2] is None


def test_without_katex_formulas_are_not_run_and_never_passed(tmp_path, no_katex):
    write_bench(tmp_path, {"arxiv_math": [row("math", "1", math="x"), row("math", "2", math="y")]})
    table = BENCHMARK.score(tmp_path, {"a_pg1_repeat1": "$x$"}, tmp_path)
    assert value_of(table, "ArXiv") is None and value_of(table, "Overall") is None
    assert table.reasons["ArXiv"].startswith("2 of 2 checks not run (0 passed, 0 failed): ")
    assert "KaTeX is not installed" in table.reasons["ArXiv"]
    assert table.reasons["Overall"] == "withheld: not all checks of ArXiv were run"
    assert table.detail["categories"]["arxiv_math"]["not_run"] == 2


def test_a_check_that_raises_on_an_answer_has_failed(bench, monkeypatch):
    def crash(self, answer):
        raise RecursionError("too deep")

    monkeypatch.setattr("deepseek_ocr.evaluation.benchmarks.olmocr.checks.TableCheck.run", crash)
    verdicts = run_checks(read_bench_data(bench).checks, ANSWERS)
    failed = [verdict.reason for check, verdict in verdicts if check.kind == "table"]
    assert failed == ["RecursionError: too deep"] * 2


# the published sample ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sample(shared) -> tuple[Check, ...]:
    """The 56 checks of the sample's own file."""
    checks = read_bench_data(shared / "data" / "olmocr_bench_sample").checks
    return tuple(check for check in checks if check.category == "dataset")


def transcription(checks: list[Check]) -> str:
    """What a page says as far as its checks tell: texts, texts in order, a table for each cell."""
    parts = []
    for check in checks:
        if check.kind == "present":
            parts.append(check.text)  # type: ignore[attr-defined]
        elif check.kind == "order":
            parts += [check.before, check.after]  # type: ignore[attr-defined]
        elif check.kind == "math":
            parts.append(f"$${check.math}$$")  # type: ignore[attr-defined]
        elif check.kind == "table":
            parts.append(table_of(check))
    return "\n\n".join(parts)


def table_of(check) -> str:
    """A table in which the cell has all the neighbours and headings that its check names."""
    rows = [
        ["", "", f"<th>{check.top_heading}</th>", ""],
        ["", "", check.up, ""],
        [f"<th>{check.left_heading}</th>", check.left, check.cell, check.right],
        ["", "", check.down, ""],
    ]
    cells = [[c if c.startswith("<th>") else f"<td>{c}</td>" for c in line] for line in rows]
    return "<table>" + "".join(f"<tr>{''.join(line)}</tr>" for line in cells) + "</table>"


def answers_of(checks: tuple[Check, ...]) -> dict[str, str]:
    pages: dict[str, list[Check]] = {}
    for check in checks:
        pages.setdefault(page_id(check.pdf, check.page), []).append(check)
    return {page: transcription(found) for page, found in pages.items()}


def test_the_sample_has_the_published_checks(sample):
    kinds = [check.kind for check in sample]
    counts = {kind: kinds.count(kind) for kind in kinds}
    assert counts == {"present": 17, "absent": 15, "order": 4, "table": 16, "math": 4}


def test_a_perfect_transcription_passes_all_52_checks_that_need_no_browser(sample, no_katex):
    verdicts = run_checks(sample, answers_of(sample))
    assert [check.id for check, verdict in verdicts if verdict.passed is False] == []
    assert sum(verdict.passed is True for _, verdict in verdicts) == 52
    assert {check.kind for check, verdict in verdicts if verdict.passed is None} == {"math"}


def test_an_empty_answer_passes_what_asks_for_absence_and_nothing_else(sample, no_katex):
    verdicts = run_checks(sample, {})
    assert {check.kind for check, verdict in verdicts if verdict.passed} == {"absent"}
    assert sum(verdict.passed is False for _, verdict in verdicts) == 37


def test_cells_below_each_other_instead_of_beside_fail(sample, no_katex):
    below = {
        page: text.replace("</td><td>", "</td></tr><tr><td>")
        for page, text in answers_of(sample).items()
    }
    beside = [
        verdict.passed
        for check, verdict in run_checks(sample, below)
        if check.kind == "table" and (check.left or check.right)  # type: ignore[attr-defined]
    ]
    assert len(beside) == 5 and not any(beside)


def test_the_samples_formulas_are_drawn_where_katex_is_installed(sample):
    try:
        find_katex()
    except NoKatex as missing:
        pytest.skip(f"needs KaTeX in a browser: {missing}")
    math = tuple(check for check in sample if check.kind == "math")
    assert all(verdict.passed for _, verdict in run_checks(math, answers_of(math)))
    respelt = {  # other LaTeX, the same formulas on paper
        page: text.replace("_{g}", "_g").replace(r"^{\prime}", "'").replace(r"\in", r"{\in}")
        for page, text in answers_of(math).items()
    }
    assert all(verdict.passed for _, verdict in run_checks(math, respelt))
    changed = {page: text.replace("lambda", "mu") for page, text in answers_of(math).items()}
    passed = [verdict.passed for _, verdict in run_checks(math, changed)]
    assert passed.count(False) == 3  # one of the four has no lambda
