"""`deepseek-ocr test`: answer every row of a test file and score the answers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from ..data.annotations import Annotation, read_annotations
from ..errors import EXIT_OK, EXIT_SOME_FAILED
from ..evaluation.evaluate import ScoredRow
from ..evaluation.run import TestConfig, run_test
from ..files import check_output_dir, make_output_dir
from .options import parse_options

NUM_FAILURES_SHOWN = 10


def main(argv: Sequence[str] | None = None) -> int:
    """Test a model; 3 if any row failed (a bad answer is a result, not a failure)."""
    config = parse_options(TestConfig, argv, prog="test.py", description=__doc__.splitlines()[0])
    annotations = read_annotations(config.test_file, config.data_root)[: config.limit]
    check_output_dir(config.output_dir)

    from ..inference.engine import load_engine  # here: loading torch takes seconds, --help none

    engine = load_engine(
        config.model_path,
        device=config.device,
        dtype=config.dtype,
        adapter=config.adapter,
        mode=config.mode,
        tile_size=config.tile_size,
        base_size=config.base_size,
        max_tiles=config.max_tiles,
        seed=config.seed,
    )
    warn_of_other_prompts(annotations, engine.prompt)
    make_output_dir(config.output_dir)
    outcome = run_test(config, annotations, engine)
    report_failures(outcome.failed)
    print(score_table(outcome.summary))
    print(outcome.report)
    return EXIT_SOME_FAILED if outcome.failed else EXIT_OK


def warn_of_other_prompts(annotations: Sequence[Annotation], trained: str | None) -> None:
    """Say on stderr how many rows ask something else than the model was trained on."""
    others = [row for row in annotations if trained is not None and row.prompt != trained]
    if others:
        print(
            f"note: {len(others)} of {len(annotations)} rows ask {others[0].prompt!r}; the model "
            f"was trained on {trained!r}, and often reads worse with another prompt",
            file=sys.stderr,
        )


def report_failures(rows: Sequence[ScoredRow]) -> None:
    """Name the failed rows on stderr."""
    for row in rows[:NUM_FAILURES_SHOWN]:
        print(f"failed: {row.annotation.id}: {row.result.reason}", file=sys.stderr)
    if len(rows) > NUM_FAILURES_SHOWN:
        more = len(rows) - NUM_FAILURES_SHOWN
        print(f"failed: {more} more; all are in predictions.jsonl", file=sys.stderr)


def score_table(summary: dict[str, Any]) -> str:
    """The raw scores of a test as a few aligned lines."""
    raw, statuses = summary["scores"]["raw"], summary["statuses"]
    lines = [f"{'':12}{'micro':>9}{'macro':>9}{'median':>9}{'p90':>9}  95 % interval of micro"]
    for name in ("cer", "wer"):
        rates = raw[name]
        cells = "".join(f"{_number(rates[k]):>9}" for k in ("micro", "macro", "median", "p90"))
        lines.append(f"{name.upper():12}{cells}  {_interval(rates['intervals']['micro'])}")
    exact = raw["exact"]
    lines.append(f"{'exact':12}{_number(exact['rate']):>9}  {exact['count']} of {_rows(summary)}")
    lines.append(f"{'similarity':12}{_number(raw['similarity']['mean']):>9}")
    counts = ", ".join(f"{entry['count']} {status}" for status, entry in statuses.items())
    return "\n".join([*lines, f"{'status':12}{counts}"])


def _rows(summary: dict[str, Any]) -> str:
    count = summary["num_rows"]
    return f"{count} row" if count == 1 else f"{count} rows"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _interval(interval: Sequence[float] | None) -> str:
    return "-" if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}"
