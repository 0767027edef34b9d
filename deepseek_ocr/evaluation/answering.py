"""A model answers every row, each on disk as soon as it and those before it are answered."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from ..data.annotations import Annotation
from ..data.pages.loading import load_page
from ..metrics.text import error_rate
from ..progress import Progress, say
from ..runlog import RunLog
from .config import TestConfig
from .evaluate import Engine, ScoredRow, evaluate
from .loading import PageLoader
from .predictions import PredictionFile
from .resuming import mark_finished, mark_unfinished
from .running_batch import evaluate_running, runs_on


def answer(
    config: TestConfig,
    annotations: Sequence[Annotation],
    engine: Engine,
    kept: Sequence[ScoredRow],
    log: RunLog,
    *,
    quiet: bool = False,
) -> list[ScoredRow]:
    """All rows, in their order; those `kept` from an interrupted test are not answered again."""
    if kept:
        say(f"resume: {len(kept)} of {len(annotations)} rows were answered before", quiet=quiet)
    else:  # what begins anew must not be taken for the rest of another
        mark_finished(config.output_dir)
    has_truths = config.benchmark is None
    file = PredictionFile(config.output_dir, kept, has_truths=has_truths)
    mark_unfinished(config, annotations, engine)
    rows = list(kept)
    errors = sum(row.score.char_errors for row in rows)
    chars = sum(row.score.num_chars for row in rows)
    with (
        PageLoader(partial(load_page, config.data_root), config.num_workers) as loader,
        Progress(len(annotations), "rows", "test", start=len(rows), quiet=quiet) as progress,
    ):
        for row in answered(
            annotations[len(rows) :],
            engine,
            loader,
            batch_size=config.batch_size,
            max_new_tokens=config.max_new_tokens,
        ):
            file.append(row)
            rows.append(row)
            errors, chars = errors + row.score.char_errors, chars + row.score.num_chars
            if row.result.status == "failed":
                log.event("failed", row=row.annotation.id, reason=row.result.reason)
            so_far = {"cer": error_rate(errors, chars)} if has_truths else {}
            if len(rows) % config.batch_size == 0 or len(rows) == len(annotations):
                log.metrics("batch", rows=len(rows), of=len(annotations), **so_far)
            shown: dict[str, Any] = {
                name: "-" if rate is None else f"{rate:.3f}" for name, rate in so_far.items()
            }
            progress.advance(**shown)
    return rows


def answered(
    annotations: Sequence[Annotation],
    engine: Engine,
    loader: PageLoader,
    *,
    batch_size: int,
    max_new_tokens: int,
) -> Iterator[ScoredRow]:
    """Scored rows in order, from a running batch where the engine has one, else batch by batch."""
    settings = {"batch_size": batch_size, "max_new_tokens": max_new_tokens}
    if runs_on(engine):
        return evaluate_running(annotations, engine, loader, **settings)
    return itertools.chain.from_iterable(evaluate(annotations, engine, loader, **settings))
