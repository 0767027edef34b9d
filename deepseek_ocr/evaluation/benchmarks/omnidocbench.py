"""OmniDocBench v1.5: pages to Markdown, its texts, formulas, tables and order scored apart.

Data as published (huggingface.co/datasets/opendatalab/OmniDocBench): `OmniDocBench.json` beside
the folder `images`. Definitions of github.com/opendatalab/OmniDocBench v1.5 (Apache-2.0) with its
quick matching; see `metrics.markdown`. Every page counts, one without an answer as an empty one
(the published program leaves out pages without a file).

The formula score CDM compares drawings of both formulas, for which it needs LaTeX, ImageMagick and
node; here its input is written to `CDM_INPUT`, and without it there is no Overall.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...files import write_atomic
from ...metrics.intervals import DocumentBootstrap
from ...metrics.markdown.blocks import split_blocks
from ...metrics.markdown.comparison import Comparison, Pair, compare_blocks
from ...metrics.markdown.tables import OMNIDOCBENCH_FORM
from .figures import mean_of_known, per_cent
from .omnidocbench_data import NUM_PAGES, TruePage, read_pages
from .protocol import BenchmarkPage, BenchmarkTable, pages_of_one_image
from .published import OMNIDOCBENCH_V15

PROMPT = "<image>\n<|grounding|>Convert the document to markdown."

CDM_INPUT = "omnidocbench_cdm_input.json"
"""Pairs of formulas as the published CDM program reads them (`img_id`, `gt`, `pred`)."""

COLUMNS = (*OMNIDOCBENCH_V15.columns, "Formula edit")

NO_CDM = (
    "CDM draws formulas with LaTeX, ImageMagick and node, which are not part of this program; "
    f"its input is in {CDM_INPUT}"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PageResult:
    """One scored page; `problem` says why it was not compared, else it is empty."""

    id: str
    comparison: Comparison
    problem: str = ""

    @property
    def text_edit(self) -> float | None:
        return _edit(self.comparison.texts)

    @property
    def formula_edit(self) -> float | None:
        return _edit(self.comparison.formulas)


class OmniDocBench:
    """See the module."""

    name = "omnidocbench"

    def pages(self, data_root: Path) -> list[BenchmarkPage]:
        return pages_of_one_image(read_pages(data_root), PROMPT)

    def score(
        self, data_root: Path, answers: Mapping[str, str], output_dir: Path
    ) -> BenchmarkTable:
        truths = read_pages(data_root)
        results = [score_page(page, answers.get(page.id, "")) for page in truths]
        write_atomic(output_dir / CDM_INPUT, _cdm_input(results))
        return _table(results)


BENCHMARK = OmniDocBench()


def score_page(truth: TruePage, answer: str) -> PageResult:
    """Compares one answer; one that cannot be compared counts as empty, and says why."""
    try:
        comparison = compare_blocks(truth.blocks, split_blocks(answer), form=OMNIDOCBENCH_FORM)
        return PageResult(id=truth.id, comparison=comparison)
    except Exception as error:  # noqa: BLE001  what a model wrote must not stop the benchmark
        comparison = compare_blocks(truth.blocks, [], form=OMNIDOCBENCH_FORM)
        problem = f"not compared ({type(error).__name__}: {error})"
        return PageResult(id=truth.id, comparison=comparison, problem=problem)


def _edit(pairs: Sequence[Pair]) -> float | None:
    """Errors of all pairs / their lengths; None without any."""
    length = sum(pair.length for pair in pairs)
    return sum(pair.errors for pair in pairs) / length if length else None


def _cdm_input(results: Sequence[PageResult]) -> str:
    pairs = [(result.id, pair) for result in results for pair in result.comparison.formulas]
    rows = [
        {
            "img_id": str(number),
            "img_name": page,
            "gt": _bare(pair.truth_latex),
            "pred": _bare(pair.prediction_latex),
        }
        for number, (page, pair) in enumerate(pairs)
    ]
    return json.dumps(rows, ensure_ascii=False, indent=1) + "\n"


def _bare(latex: str) -> str:
    return latex.strip().strip("$").strip()


def _table(results: Sequence[PageResult]) -> BenchmarkTable:
    tables = [table for result in results for table in result.comparison.tables]
    found = {
        "Overall": None,
        "Text edit": mean_of_known([result.text_edit for result in results]),
        "Formula CDM": None,
        "Table TEDS": per_cent(mean_of_known([table.teds for table in tables])),
        "Table TEDS-S": per_cent(mean_of_known([table.teds_s for table in tables])),
        "Order edit": mean_of_known([result.comparison.order_edit for result in results]),
        "Formula edit": mean_of_known([result.formula_edit for result in results]),
    }
    reasons = {
        name: "no page of this copy has one" for name, value in found.items() if value is None
    }
    reasons["Formula CDM"] = NO_CDM
    reasons["Overall"] = "it is made of the text, the tables and Formula CDM, which is missing"
    return BenchmarkTable(
        columns=COLUMNS,
        values=tuple(found[column] for column in COLUMNS),
        reasons=reasons,
        published=OMNIDOCBENCH_V15.rows_for(COLUMNS),
        notes=_notes(results),
        num_pages=len(results),
        verdicts={result.id: _verdict(result) for result in results},
        detail=_detail(results),
    )


def _notes(results: Sequence[PageResult]) -> tuple[str, ...]:
    notes = [f"Published rows: {OMNIDOCBENCH_V15.source}."]
    if len(results) != NUM_PAGES:
        notes.append(
            f"This copy has {len(results)} page{'s' * (len(results) != 1)}, v1.5 has {NUM_PAGES}: "
            "its figures do not compare with the published rows."
        )
    if failed := sum(bool(result.problem) for result in results):
        notes.append(f"{failed} answers could not be compared and count as empty.")
    return tuple(notes)


def _detail(results: Sequence[PageResult]) -> dict[str, Any]:
    texts = [pair for result in results for pair in result.comparison.texts]
    return {
        "num_pages": len(results),
        "num_tables": sum(len(result.comparison.tables) for result in results),
        "num_formulas": sum(len(result.comparison.formulas) for result in results),
        "text_edit_whole": _edit(texts),
        "text_edit_sample_avg": mean_of_known([_edit([pair]) for pair in texts]),
        "intervals": _intervals(results),
        "pages": [_page_detail(result) for result in results],
    }


def _intervals(results: Sequence[PageResult]) -> dict[str, Any]:
    """95 % intervals of the columns, pages drawn."""
    bootstrap = DocumentBootstrap([result.id for result in results], seed=0)

    def of_pages(values: Sequence[float | None]) -> Any:
        return bootstrap.of_ratio(
            [value or 0.0 for value in values], [value is not None for value in values]
        )

    counts = [len(result.comparison.tables) for result in results]
    intervals: dict[str, Any] = {
        "Text edit": of_pages([result.text_edit for result in results]),
        "Order edit": of_pages([result.comparison.order_edit for result in results]),
        "Formula edit": of_pages([result.formula_edit for result in results]),
    }
    for column, name in (("Table TEDS", "teds"), ("Table TEDS-S", "teds_s")):
        sums = [100 * sum(getattr(t, name) for t in r.comparison.tables) for r in results]
        intervals[column] = bootstrap.of_ratio(sums, counts) if any(counts) else None
    return intervals


def _verdict(result: PageResult) -> str:
    """The scores that the page has; `no score` where its truth has nothing that is compared."""
    tables = result.comparison.tables
    found = {
        "text edit": result.text_edit,
        "formula edit": result.formula_edit,
        "TEDS": mean_of_known([table.teds for table in tables]),
        "order edit": result.comparison.order_edit,
    }
    parts = [f"{name} {value:.3f}" for name, value in found.items() if value is not None]
    return result.problem or ", ".join(parts) or "no score"


def _page_detail(result: PageResult) -> dict[str, Any]:
    tables = result.comparison.tables
    problems = [result.problem, *(table.reason for table in tables)]
    return {
        "id": result.id,
        "text_edit": result.text_edit,
        "formula_edit": result.formula_edit,
        "order_edit": result.comparison.order_edit,
        "teds": [table.teds for table in tables],
        "teds_s": [table.teds_s for table in tables],
        "problems": [problem for problem in problems if problem],
    }
