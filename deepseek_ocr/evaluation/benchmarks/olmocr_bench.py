"""olmOCR-bench: some 7,000 checks that pass or fail on 1,400 pages (github.com/allenai/olmocr).

Data: `bench_data/` of huggingface.co/datasets/allenai/olmOCR-bench, or any folder of that layout
(olmocr/reading.py). Answers are named `FOLDER/NAME_pgPAGE_repeat1.md` as published; of repeats the
first is taken. Checks of kind `math` need KaTeX in a browser (olmocr/katex.py); without it they
are counted as not run, and neither their column nor Overall gets a figure.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from ...files import write_atomic
from .olmocr.answer import Answer
from .olmocr.checks import Check, MathCheck, Verdict
from .olmocr.formulas import MathJudge
from .olmocr.katex import NoKatex, find_katex
from .olmocr.rates import CategoryRates, Overall, overall, rates_by_category
from .olmocr.reading import BASELINE, read_bench_data
from .protocol import BenchmarkPage, BenchmarkTable
from .published import OLMOCR_BENCH

PROMPT = "<image>\n<|grounding|>Convert the document to markdown."
CHECKS_NAME = "olmocr_bench_checks.jsonl"

COLUMN_OF = {  # a category is named by its file
    "arxiv_math": "ArXiv",
    "old_scans_math": "Old scans math",
    "table_tests": "Tables",
    "old_scans": "Old scans",
    "headers_footers": "Headers & footers",
    "multi_column": "Multi column",
    "long_tiny_text": "Long tiny text",
    BASELINE: "Base",
}
OVERALL = "Overall"


class OlmocrBench:
    """The benchmark as `test.py --benchmark olmocr-bench` runs it."""

    name = "olmocr-bench"

    def pages(self, data_root: Path) -> list[BenchmarkPage]:
        """The pages that some check is about, in the order of their paths."""
        found = read_bench_data(data_root)
        pages = sorted({(check.pdf, check.page) for check in found.checks})
        return [
            BenchmarkPage(
                id=page_id(pdf, page), images=(found.reference(pdf, page),), prompt=PROMPT
            )
            for pdf, page in pages
        ]

    def score(
        self, data_root: Path, answers: Mapping[str, str], output_dir: Path
    ) -> BenchmarkTable:
        """Shares of passed checks in per cent; every verdict is in `olmocr_bench_checks.jsonl`."""
        checks = read_bench_data(data_root).checks
        verdicts = run_checks(checks, answers)
        _write_verdicts(Path(output_dir) / CHECKS_NAME, verdicts)
        categories = rates_by_category(verdicts)
        table = _table(categories, overall(categories))
        pages = _page_verdicts(verdicts)
        return dataclasses.replace(table, num_pages=len(pages), verdicts=pages)


BENCHMARK = OlmocrBench()


def page_id(pdf: str, page: int) -> str:
    """`a/b.pdf`, 1 -> `a/b_pg1_repeat1`: with `.md`, the published name of its answer."""
    return f"{PurePosixPath(pdf).with_suffix('')}_pg{page}_repeat1"


def run_checks(checks: Sequence[Check], answers: Mapping[str, str]) -> list[tuple[Check, Verdict]]:
    """Every check on its page's answer, in order; a page without one has an empty answer."""
    read: dict[str, Answer] = {}
    pairs = []
    for check in checks:
        name = page_id(check.pdf, check.page)
        if name not in read:
            read[name] = Answer(answers.get(name, ""))
        pairs.append((check, read[name]))
    math = [(check, answer) for check, answer in pairs if isinstance(check, MathCheck)]
    judge: MathJudge | None = None
    missing = ""
    if math:
        try:
            judge = MathJudge(math, find_katex())
        except NoKatex as error:
            missing = f"formulas are compared as KaTeX draws them in a browser, and {error}"
    return [(check, _verdict(check, answer, judge, missing)) for check, answer in pairs]


def _verdict(check: Check, answer: Answer, judge: MathJudge | None, missing: str) -> Verdict:
    """As published, a check that raises on an answer has failed."""
    try:
        if not isinstance(check, MathCheck):
            return check.run(answer)
        return Verdict(None, missing) if judge is None else judge.judge(check, answer)
    except Exception as error:  # noqa: BLE001  the answer is a model's, the verdict says so
        return Verdict(False, f"{type(error).__name__}: {error}")


def _page_verdicts(verdicts: Sequence[tuple[Check, Verdict]]) -> dict[str, str]:
    """Page id -> how many of its checks the answer passed."""
    by_page: dict[str, list[Verdict]] = {}
    for check, verdict in verdicts:
        by_page.setdefault(page_id(check.pdf, check.page), []).append(verdict)
    return {name: _passed(found) for name, found in by_page.items()}


def _passed(verdicts: Sequence[Verdict]) -> str:
    passed = sum(verdict.passed is True for verdict in verdicts)
    not_run = sum(verdict.passed is None for verdict in verdicts)
    checks = f"{len(verdicts)} check{'s' * (len(verdicts) != 1)}"
    return f"{passed} of {checks} passed" + (f", {not_run} not run" if not_run else "")


def _write_verdicts(path: Path, verdicts: Sequence[tuple[Check, Verdict]]) -> None:
    lines = []
    for check, verdict in verdicts:
        row = {"id": check.id, "category": check.category, "kind": check.kind}
        page = {"pdf": check.pdf, "page": check.page}
        result = {"passed": verdict.passed, "reason": verdict.reason}
        lines.append(json.dumps(row | page | result) + "\n")
    write_atomic(path, "".join(lines))


def _table(categories: Mapping[str, CategoryRates], mean: Overall) -> BenchmarkTable:
    """The published columns, then the categories of this folder that are not published."""
    by_column = {COLUMN_OF.get(name, name): rates for name, rates in categories.items()}
    own = [column for column in by_column if column not in OLMOCR_BENCH.columns]
    columns = (*OLMOCR_BENCH.columns[:-1], *own, OVERALL)
    shares = [by_column[c].share if c in by_column else None for c in columns[:-1]]
    return BenchmarkTable(
        columns=columns,
        values=(*shares, mean.share),
        reasons=_reasons(columns, by_column, mean),
        published=OLMOCR_BENCH.rows_for(columns),
        notes=_notes(by_column, mean),
        detail={
            "categories": {name: rates.to_json() for name, rates in categories.items()},
            "overall": {
                "share": mean.share,
                "interval": mean.interval,
                "interval_as_published": mean.interval_as_published,
            },
            "checks": CHECKS_NAME,
        },
    )


def _reasons(
    columns: Sequence[str], by_column: Mapping[str, CategoryRates], mean: Overall
) -> dict[str, str]:
    reasons = {}
    for column in columns[:-1]:
        rates = by_column.get(column)
        if rates is None:
            reasons[column] = "the folder has no .jsonl file of these checks"
        elif rates.not_run:
            why = "; ".join(rates.why_not_run)
            reasons[column] = (
                f"{rates.not_run} of {rates.total} checks not run ({rates.passed} passed, "
                f"{rates.failed} failed): {why}"
            )
    if mean.share is None:
        without = [c for c in columns[:-1] if c in by_column and by_column[c].not_run]
        reasons[OVERALL] = f"withheld: not all checks of {', '.join(without)} were run"
    return reasons


def _notes(by_column: Mapping[str, CategoryRates], mean: Overall) -> tuple[str, ...]:
    notes = [f"Per cent of checks passed; all verdicts are in {CHECKS_NAME}."]
    if mean.share is not None and mean.interval is not None and mean.interval_as_published:
        low, high = mean.interval_as_published
        notes.append(
            f"Overall {mean.share:.1f} ± {(high - low) / 2:.1f} (95 % over checks, as published); "
            f"over documents {mean.interval[0]:.1f} to {mean.interval[1]:.1f}."
        )
    if set(by_column) != set(OLMOCR_BENCH.columns[:-1]):
        notes.append(
            f"This folder's categories are {', '.join(by_column)}; its Overall is their mean and "
            "does not compare with the published one."
        )
    notes.append(f"Published rows: {OLMOCR_BENCH.source}.")
    return tuple(notes)
