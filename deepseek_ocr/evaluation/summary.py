"""Scored rows -> the aggregate scores of `metrics.json`, with intervals over documents."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from ..files import write_atomic
from ..inference.results import Status
from ..metrics.intervals import DocumentBootstrap
from ..metrics.normalization import REPORTED, normalizer
from ..metrics.text import TextScore, mean, quantile, summarize_rates, text_score
from .evaluate import ScoredRow

METRICS_JSON_NAME = "metrics.json"
STATUSES: tuple[str, ...] = get_args(Status)


def summarize(rows: Sequence[ScoredRow], *, seed: int) -> dict[str, Any]:
    """All scores of a test; the order of the rows changes nothing.

    `scores` holds the same figures under each normalisation, `raw` first. Intervals are 95 %
    bootstrap intervals over documents, None with fewer than two.
    """
    bootstrap = DocumentBootstrap([row.document for row in rows], seed=seed)
    return {
        "num_rows": len(rows),
        "num_documents": bootstrap.num_documents,
        "num_empty_truths": sum(not row.truth for row in rows),
        "statuses": _count_statuses(rows),
        "scores": {name: _scores(_normalized(rows, name), bootstrap) for name in REPORTED},
        "tokens": _tokens(rows),
        "seconds": round(sum(row.result.seconds for row in rows), 3),
    }


def _normalized(rows: Sequence[ScoredRow], name: str) -> list[TextScore]:
    if name == "raw":
        return [row.score for row in rows]
    apply = normalizer(name)
    return [text_score(apply(row.prediction), apply(row.truth)) for row in rows]


def _count_statuses(rows: Sequence[ScoredRow]) -> dict[str, dict[str, float]]:
    counts = Counter[str](row.result.status for row in rows)
    return {
        status: {"count": counts[status], "rate": counts[status] / max(len(rows), 1)}
        for status in STATUSES
    }


def _scores(scores: Sequence[TextScore], bootstrap: DocumentBootstrap) -> dict[str, Any]:
    similarities = [score.similarity for score in scores]
    exact = [float(score.exact) for score in scores]
    ones = [1] * len(scores)
    return {
        "cer": _rates(
            [s.char_errors for s in scores],
            [s.num_chars for s in scores],
            [s.cer if s.num_chars else None for s in scores],
            bootstrap,
        ),
        "wer": _rates(
            [s.word_errors for s in scores],
            [s.num_words for s in scores],
            [s.wer if s.num_words else None for s in scores],
            bootstrap,
        ),
        "similarity": {
            "mean": mean(similarities),
            "median": quantile(similarities, 0.5),
            "interval": bootstrap.of_ratio(similarities, ones),
        },
        "exact": {
            "count": sum(score.exact for score in scores),
            "rate": mean(exact),
            "interval": bootstrap.of_ratio(exact, ones),
        },
    }


def _rates(
    errors: Sequence[int],
    lengths: Sequence[int],
    rates: Sequence[float | None],
    bootstrap: DocumentBootstrap,
) -> dict[str, Any]:
    """Summary of one error rate; `rates` are the rows' own, None where the truth is empty."""
    takes_part = [rate is not None for rate in rates]
    return {
        **dataclasses.asdict(summarize_rates(errors, lengths)),
        "intervals": {
            "micro": bootstrap.of_ratio(errors, lengths),
            "macro": bootstrap.of_ratio([rate or 0.0 for rate in rates], takes_part),
            "median": bootstrap.of_median(rates),
        },
    }


def _tokens(rows: Sequence[ScoredRow]) -> dict[str, Any]:
    text = [row.result.num_tokens for row in rows]
    image = [row.result.num_image_tokens for row in rows]
    return {
        "text": {"total": sum(text), "mean": mean(text), "max": max(text, default=None)},
        "image": {"total": sum(image), "mean": mean(image), "max": max(image, default=None)},
    }


def headline(summary: dict[str, Any]) -> dict[str, float | None]:
    """The few raw scores that are printed and logged at the end of a test."""
    raw = summary["scores"]["raw"]
    rates = {
        f"{rate}_{kind}": raw[rate][kind]
        for rate in ("cer", "wer")
        for kind in ("micro", "macro", "median", "p90")
    }
    counts = {f"num_{status}": entry["count"] for status, entry in summary["statuses"].items()}
    similarity = raw["similarity"]["mean"]
    return {**rates, "exact": raw["exact"]["rate"], "similarity": similarity, **counts}


def write_summary(path: Path, summary: dict[str, Any]) -> None:
    """Write `metrics.json`, whole or not at all."""
    # ASCII only: paths and names may hold bytes that are not UTF-8
    write_atomic(path, json.dumps(summary, indent=2, allow_nan=False) + "\n")
