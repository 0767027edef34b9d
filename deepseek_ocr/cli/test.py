"""`deepseek-ocr test`: answer every row of a test file and score the answers."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Iterator, Sequence

from ..data.annotations import Annotation, read_annotations
from ..data.problems import printable
from ..errors import EXIT_OK, EXIT_SOME_FAILED, UsageError
from ..evaluation.baseline import find_tesseract
from ..evaluation.comparison import check_shares_rows, read_other
from ..evaluation.config import TestConfig
from ..evaluation.evaluate import Engine, ScoredRow
from ..evaluation.rescoring import given_rows
from ..evaluation.resuming import check_nothing_unfinished, check_same_device, kept_rows
from ..evaluation.run import TestPlan, run_test
from ..files import alone_in, check_output_dir, make_output_dir, remove_torn_files
from .options import parse_options
from .score_tables import print_tables

NUM_FAILURES_SHOWN = 10


def main(argv: Sequence[str] | None = None) -> int:
    """Test a model; 3 if any row failed (a bad answer is a result, not a failure)."""
    config = parse_options(TestConfig, argv, prog="test.py", description=__doc__.splitlines()[0])
    with plan_in_folder(config) as plan:
        outcome = run_test(config, plan)
    report_failures(outcome.failed)
    print_tables(outcome.summary, outcome.table)
    print(outcome.report)
    return EXIT_SOME_FAILED if outcome.failed else EXIT_OK


@contextlib.contextmanager
def plan_in_folder(config: TestConfig) -> Iterator[TestPlan]:
    """The plan, in an output folder that no other run changes meanwhile.

    A folder that is there is locked first, so that nobody loads a model in order to be refused. One
    that is not is made last: what is refused leaves none.
    """
    folder = config.output_dir
    if folder.is_dir():
        with alone_in(make_output_dir(folder)):
            plan = make_plan(config)
            remove_torn_files(folder)
            yield plan
        return
    plan = make_plan(config)
    with alone_in(make_output_dir(folder)):  # which another test may have made meanwhile
        kept = rows_to_keep(config, plan.annotations, plan.given)
        if kept and plan.engine is not None:
            check_same_device(config, plan.engine)
        remove_torn_files(folder)
        yield dataclasses.replace(plan, kept=kept)


def make_plan(config: TestConfig) -> TestPlan:
    """Everything that is needed, so that what cannot be used is refused before work starts."""
    if config.compare is not None and config.compare.resolve() == config.output_dir.resolve():
        raise UsageError(
            f"--compare: {config.compare} is the --output_dir, whose results this test replaces; "
            "name another --output_dir"
        )
    annotations = asked_rows(config)
    baseline = (
        find_tesseract(config.tesseract_lang, config.tesseract_psm) if config.baseline else None
    )
    other = read_other(config.compare) if config.compare else None
    given = None
    if config.from_predictions is not None:
        given = given_rows(config.from_predictions, annotations, config.limit)
        annotations = [row.annotation for row in given]
    assert annotations is not None
    if other is not None:
        check_shares_rows(annotations, other)
    check_output_dir(config.output_dir)
    kept = rows_to_keep(config, annotations, given)
    engine = load(config) if given is None else None
    if engine is not None:
        if kept:
            check_same_device(config, engine)
        warn_of_other_prompts(annotations, getattr(engine, "prompt", None))
    return TestPlan(
        annotations=annotations,
        engine=engine,
        kept=kept,
        given=given,
        baseline=baseline,
        other=other,
    )


def rows_to_keep(
    config: TestConfig, annotations: Sequence[Annotation], given: Sequence[ScoredRow] | None
) -> list[ScoredRow]:
    """The rows of an interrupted test in the folder that need no model again.

    Raises:
        UserError: the folder holds an unfinished test of something else.
    """
    if given is None:
        return kept_rows(config, annotations)
    if config.resume == "auto":
        check_nothing_unfinished(config.output_dir)
    return []


def asked_rows(config: TestConfig) -> list[Annotation] | None:
    """The rows of the test file or of the benchmark; None where the answers bring their own."""
    if config.benchmark is not None:
        from ..evaluation.benchmarks.run import benchmark_annotations  # here: few tests need it

        return benchmark_annotations(config.benchmark, config.data_root)[: config.limit]
    if config.test_file is None:
        return None
    return read_annotations(config.test_file, config.data_root)[: config.limit]


def load(config: TestConfig) -> Engine:
    """The model as the flags say."""
    from ..inference.engine import load_engine  # here: loading torch takes seconds, --help none

    assert config.model_path is not None
    return load_engine(
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
        reason = row.result.reason or "no reason given"
        print(f"failed: {printable(f'{row.annotation.id}: {reason}')}", file=sys.stderr)
    if len(rows) > NUM_FAILURES_SHOWN:
        more = len(rows) - NUM_FAILURES_SHOWN
        print(f"failed: {more} more; all are in predictions.jsonl", file=sys.stderr)
