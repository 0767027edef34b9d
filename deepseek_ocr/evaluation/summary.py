"""Scored rows -> the aggregate scores of `metrics.json`, with intervals over documents."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..files import write_atomic
from ..metrics.fields import summarize_fields
from ..metrics.fox import summarize_fox
from ..metrics.grounding import summarize_grounding
from ..metrics.intervals import DocumentBootstrap
from ..metrics.normalization import REPORTED
from ..metrics.text import TextScore, mean, quantile, summarize_rates
from ..metrics.tokens import summarize_compression
from ..metrics.words import corpus_bleu, summarize_bags
from .breakdown import breakdowns
from .evaluate import ScoredRow
from .predictions import STATUSES
from .scores import RowScores
from .scoring import score_all

METRICS_JSON_NAME = "metrics.json"


def summarize(rows: Sequence[ScoredRow], *, seed: int) -> dict[str, Any]:
    """All scores of a test; the order of the rows changes nothing.

    `scores` holds the same figures under each normalisation, `raw` first; a family that applies to
    no row is None. Intervals are 95 % bootstrap intervals over documents, None with fewer than two.
    Rows that have only their raw score get the others here.
    """
    rows = with_scores(rows)
    scores = [row.scores for row in rows if row.scores is not None]
    bootstrap = DocumentBootstrap([row.document for row in rows], seed=seed)
    return {
        "num_rows": len(rows),
        "num_documents": bootstrap.num_documents,
        "num_empty_truths": sum(not row.truth for row in rows),
        "statuses": count_statuses(rows),
        "num_statuses_assumed": count_assumed(rows),
        "scores": _text_scores([s.texts for s in scores], bootstrap),
        "graphemes": {"cer": _grapheme_rates(scores, bootstrap)},
        "words": _words(scores),
        "markdown": _markdown(scores),
        "fields": _of_those([s.fields for s in scores], summarize_fields),
        "grounding": _of_those([s.grounding for s in scores], summarize_grounding),
        "tokens": _tokens(rows),
        "breakdowns": breakdowns(rows, seed=seed),
        "seconds": round(sum(row.result.seconds for row in rows), 3),
    }


def summarize_without_truths(rows: Sequence[ScoredRow]) -> dict[str, Any]:
    """What `summarize` gives, of a benchmark's rows: its own table scores them, so None here."""
    families = ("scores", "graphemes", "words", "markdown", "fields", "grounding")
    return {
        "num_rows": len(rows),
        "num_documents": len({row.document for row in rows}),
        "num_empty_truths": None,
        "statuses": count_statuses(rows),
        "num_statuses_assumed": count_assumed(rows),
        **dict.fromkeys(families),
        "tokens": _tokens(rows),
        "breakdowns": {},
        "seconds": round(sum(row.result.seconds for row in rows), 3),
    }


def with_scores(rows: Sequence[ScoredRow]) -> Sequence[ScoredRow]:
    """The rows, each with the scores of all families."""
    return rows if all(row.scores is not None for row in rows) else score_all(rows, quiet=True)


def text_scores(
    scores: Sequence[dict[str, TextScore]], documents: Sequence[str], *, seed: int
) -> dict[str, Any]:
    """What `metrics.json` holds under `scores`, of rows with these documents."""
    return _text_scores(scores, DocumentBootstrap(documents, seed=seed))


def _text_scores(
    scores: Sequence[dict[str, TextScore]], bootstrap: DocumentBootstrap
) -> dict[str, Any]:
    return {name: _scores([texts[name] for texts in scores], bootstrap) for name in REPORTED}


def _grapheme_rates(scores: Sequence[RowScores], bootstrap: DocumentBootstrap) -> dict[str, Any]:
    errors = [s.graphemes.char_errors for s in scores]
    lengths = [s.graphemes.num_chars for s in scores]
    rates = [e / n if n else None for e, n in zip(errors, lengths, strict=True)]
    return _rates(errors, lengths, rates, bootstrap)


def _words(scores: Sequence[RowScores]) -> dict[str, Any]:
    """BLEU over all rows together; Fox as the mean of the rows, as published."""
    return {
        "bag_of_words": summarize_bags([s.bag_of_words for s in scores]),
        "bleu": corpus_bleu([s.bleu for s in scores]),
        "fox": summarize_fox([s.fox for s in scores]),
    }


def _markdown(scores: Sequence[RowScores]) -> dict[str, Any] | None:
    taking_part = [s.markdown for s in scores if s.markdown is not None]
    if not taking_part:
        return None
    from ..metrics.markdown import summarize_markdown  # here: its parsers are slow to import

    return {**summarize_markdown(taking_part), "num_rows": len(taking_part)}


def _of_those(
    scores: Sequence[Any], summarize_them: Callable[[list[Any]], dict[str, Any]]
) -> dict[str, Any] | None:
    """The summary of the rows that take part; None where none does."""
    taking_part = [score for score in scores if score is not None]
    return summarize_them(taking_part) if taking_part else None


def count_assumed(rows: Sequence[ScoredRow]) -> int:
    """Statuses that nobody gave: of answers from elsewhere."""
    return sum(row.is_status_assumed for row in rows)


def count_statuses(rows: Sequence[ScoredRow]) -> dict[str, dict[str, float]]:
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
    counts = [
        (row.facts.num_text_tokens, row.facts.num_vision_tokens, row.result.num_image_tokens)
        for row in rows
    ]
    return {
        "text": {"total": sum(text), "mean": mean(text), "max": max(text, default=None)},
        "image": {"total": sum(image), "mean": mean(image), "max": max(image, default=None)},
        "compression": summarize_compression(counts),
    }


def headline(summary: dict[str, Any]) -> dict[str, float | None]:
    """The few raw scores, if any, and the counts that are logged at the end of a test."""
    counts = {f"num_{status}": entry["count"] for status, entry in summary["statuses"].items()}
    if summary["scores"] is None:
        return counts
    raw = summary["scores"]["raw"]
    rates = {
        f"{rate}_{kind}": raw[rate][kind]
        for rate in ("cer", "wer")
        for kind in ("micro", "macro", "median", "p90")
    }
    similarity = raw["similarity"]["mean"]
    return {**rates, "exact": raw["exact"]["rate"], "similarity": similarity, **counts}


def write_summary(path: Path, summary: dict[str, Any]) -> None:
    """Write `metrics.json`, whole or not at all."""
    # ASCII only: paths and names may hold bytes that are not UTF-8
    write_atomic(path, json.dumps(summary, indent=2, allow_nan=False) + "\n")
