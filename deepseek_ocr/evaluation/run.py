"""One test from beginning to end: answers, scores, and the files in the output folder."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ..data.annotations import Annotation
from ..data.pages.loading import load_page
from ..files import sha256_of
from ..runlog import RunLog, versions
from .answering import answer
from .baseline import Tesseract, baseline_rows
from .comparison import OtherTest, compare, differences, pair
from .config import TestConfig
from .evaluate import Engine, ScoredRow
from .predictions import PREDICTIONS_NAME, write_predictions
from .report import REPORT_NAME, OtherRun, write_report
from .rescoring import answers_sha256
from .resuming import mark_finished
from .scores import score_texts
from .scoring import in_processes, score_all
from .summary import (
    METRICS_JSON_NAME,
    headline,
    summarize,
    summarize_without_truths,
    text_scores,
    write_summary,
)

if TYPE_CHECKING:
    from .benchmarks.protocol import BenchmarkTable

__all__ = ["TestConfig", "TestOutcome", "TestPlan", "run_test"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TestPlan:
    """What a test needs, checked before work began.

    Either an `engine` answers the `annotations`, beginning after the rows `kept` from an
    interrupted test, or the answers are `given`.
    """

    __test__: ClassVar[bool] = False

    annotations: Sequence[Annotation]
    engine: Engine | None = None
    kept: Sequence[ScoredRow] = ()
    given: Sequence[ScoredRow] | None = None
    baseline: Tesseract | None = None
    other: OtherTest | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class TestOutcome:
    """What a test found: every row, the content of `metrics.json`, and where the report is."""

    __test__: ClassVar[bool] = False

    rows: Sequence[ScoredRow]
    summary: dict[str, Any]
    report: Path
    table: BenchmarkTable | None = None

    @property
    def failed(self) -> list[ScoredRow]:
        """The rows that have no answer."""
        return [row for row in self.rows if row.result.status == "failed"]


def run_test(config: TestConfig, plan: TestPlan, *, quiet: bool = False) -> TestOutcome:
    """Answer and score the rows, and write all files of a test to `config.output_dir`.

    The folder must exist. A finished test's results there are replaced, its logs continued.
    """
    log = RunLog(config.output_dir, "test")
    source = config.to_json() | _sources(config)
    log.event(
        "start",
        arguments=source
        | {"output_dir": str(config.output_dir), "num_workers": config.num_workers},
        versions=versions(),
        **_computed_on(plan.engine),
        rows=len(plan.annotations),
        answered_before=len(plan.kept),
    )
    try:
        outcome = _test(config, plan, source, log, quiet)
    except KeyboardInterrupt:
        log.event("interrupted")
        raise
    except Exception as error:
        log.event("error", type=type(error).__name__, reason=str(error))
        raise
    log.event("saved", report=outcome.report)
    figures: dict[str, Any] = headline(outcome.summary)
    if (table := outcome.table) is not None:
        columns = dict(zip(table.columns, table.values, strict=True))
        figures = {"benchmark": config.benchmark, "columns": columns, **figures}
    log.metrics("end", **figures, seconds=outcome.summary["seconds"])
    return outcome


def _test(
    config: TestConfig, plan: TestPlan, source: dict[str, Any], log: RunLog, quiet: bool
) -> TestOutcome:
    for name in (METRICS_JSON_NAME, REPORT_NAME):  # never new predictions beside old scores
        (config.output_dir / name).unlink(missing_ok=True)
    if plan.given is not None:
        rows = plan.given
    else:
        assert plan.engine is not None
        rows = answer(config, plan.annotations, plan.engine, plan.kept, log, quiet=quiet)
    beside = None
    if plan.baseline is not None:
        beside = baseline_rows(
            plan.baseline,
            plan.annotations,
            config.data_root,
            config.output_dir,
            reuse=config.resume == "auto",
            quiet=quiet,
        )
    has_truths = config.benchmark is None
    if has_truths:
        rows = score_all(rows, quiet=quiet)
    write_predictions(config.output_dir / PREDICTIONS_NAME, rows, has_truths=has_truths)
    table = _benchmark_table(config, rows)
    summary = {
        "run": source
        | _computed_on(plan.engine, prefix="actual_")
        | {"versions": versions(), "date": _now()},
        **(summarize(rows, seed=config.seed) if has_truths else summarize_without_truths(rows)),
        "baseline": _baseline(plan.baseline, rows, beside, config.seed),
        "comparison": None if plan.other is None else compare(rows, plan.other, seed=config.seed),
        "benchmark": None if table is None else {"name": config.benchmark, **table.to_json()},
    }
    report = _write_results(config, plan, rows, beside, summary, table)
    mark_finished(config.output_dir)
    return TestOutcome(rows=rows, summary=summary, report=report, table=table)


def _sources(config: TestConfig) -> dict[str, str | None]:
    """SHA-256 of the files that are tested with."""
    file, answers = config.test_file, config.from_predictions
    return {
        "test_file_sha256": None if file is None else sha256_of(file),
        "from_predictions_sha256": None if answers is None else answers_sha256(answers),
    }


def _computed_on(engine: Engine | None, prefix: str = "") -> dict[str, str | None]:
    """What `auto` came to; None of answers that were there already."""
    model = getattr(engine, "model", None)
    found = {"device": getattr(engine, "device", None), "dtype": getattr(model, "dtype", None)}
    return {
        prefix + name: None if value is None else str(value).removeprefix("torch.")
        for name, value in found.items()
    }


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _baseline(
    tesseract: Tesseract | None,
    rows: Sequence[ScoredRow],
    beside: Sequence[ScoredRow] | None,
    seed: int,
) -> dict[str, Any] | None:
    """What `metrics.json` holds under `baseline`; differences are this test less the other."""
    if tesseract is None or beside is None:
        return None
    texts = [(row.prediction, row.truth) for row in beside]
    num_characters = sum(len(a) + len(b) for a, b in texts)
    scores = list(in_processes(_score_pair, texts, num_characters))
    return {
        "name": tesseract.name,
        "lang": tesseract.lang,
        "num_failed": sum(row.result.status == "failed" for row in beside),
        "scores": text_scores(scores, [row.document for row in beside], seed=seed),
        "differences": differences(list(zip(rows, beside, strict=True)), seed=seed),
        "seconds": round(sum(row.result.seconds for row in beside), 3),
    }


def _score_pair(texts: tuple[str, str]) -> Any:
    return score_texts(*texts)


def _benchmark_table(config: TestConfig, rows: Sequence[ScoredRow]) -> BenchmarkTable | None:
    """The published table's columns with our figures; None where no benchmark is run."""
    if config.benchmark is None:
        return None
    from .benchmarks.run import score_benchmark  # here: its checks are slow to import

    return score_benchmark(config.benchmark, config.data_root, rows, config.output_dir)


def _write_results(
    config: TestConfig,
    plan: TestPlan,
    rows: Sequence[ScoredRow],
    beside: Sequence[ScoredRow] | None,
    summary: dict[str, Any],
    table: BenchmarkTable | None,
) -> Path:
    """`metrics.json` and the report; the report's path."""
    write_summary(config.output_dir / METRICS_JSON_NAME, summary)
    report = config.output_dir / REPORT_NAME
    undated = {name: value for name, value in summary["run"].items() if name != "date"}
    write_report(
        report,
        _report_rows(rows, beside, table),
        summary | {"run": undated},  # so that the same answers give the same page
        open_page=partial(load_page, config.data_root),
        other=None if plan.other is None else _other_run(rows, plan.other),
    )
    return report


def _report_rows(
    rows: Sequence[ScoredRow],
    beside: Sequence[ScoredRow] | None,
    table: BenchmarkTable | None,
) -> list[dict[str, Any]]:
    """The rows of `predictions.jsonl` without times, with what others say of them.

    That is the baseline's answer, or how the benchmark scored it.
    """
    written = [row.to_json(has_truth=table is None) | {"seconds": 0.0} for row in rows]
    if table is not None:
        for row in written:
            row["verdict"] = table.verdicts.get(row["id"], "")
    for row, other in zip(written, beside or (), strict=False):
        row |= {"baseline_prediction": other.prediction, "baseline_cer": other.score.cer}
    return written


def _other_run(rows: Sequence[ScoredRow], other: OtherTest) -> OtherRun:
    """The other test's answers to the rows that both have, judged by this test's truths."""
    theirs = [row.to_json() for _, row in pair(rows, other)]
    return OtherRun(name=other.name, rows=theirs, summary=other.summary)
