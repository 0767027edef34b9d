"""Verdicts -> the share of passed checks by category, with intervals.

As published, a category is a file of checks, and Overall the mean of the categories' shares. Its
published interval resamples checks within their category; beside it stand intervals that resample
whole documents, whose checks pass and fail together.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checks import Check, Verdict

SEED = 42
NUM_RESAMPLES = 1000
PERCENTILES = (2.5, 97.5)

Interval = tuple[float, float]
"""From, to: in per cent, 95 %."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CategoryRates:
    """One category: its counts, and what share passed of all (per cent).

    `share` is None where a check could not be run: the share of the others is not the published
    figure. `why_not_run` counts the reasons.
    """

    passed: int
    failed: int
    not_run: int
    share: float | None
    interval: Interval | None
    why_not_run: Mapping[str, int]
    resampled_checks: NDArray[np.float64] = dataclasses.field(repr=False, compare=False)
    resampled_documents: NDArray[np.float64] = dataclasses.field(repr=False, compare=False)

    @property
    def total(self) -> int:
        """The number of checks."""
        return self.passed + self.failed + self.not_run

    def to_json(self) -> dict[str, Any]:
        """As `metrics.json` holds it."""
        return {
            "passed": self.passed,
            "failed": self.failed,
            "not_run": self.not_run,
            "total": self.total,
            "share": self.share,
            "interval": self.interval,
            "why_not_run": dict(self.why_not_run),
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Overall:
    """The mean of the categories; intervals over checks as published, and over documents."""

    share: float | None
    interval_as_published: Interval | None
    interval: Interval | None


def rates_by_category(verdicts: Sequence[tuple[Check, Verdict]]) -> dict[str, CategoryRates]:
    """The rates of every category, in the order of the checks."""
    by_category: dict[str, list[tuple[Check, Verdict]]] = defaultdict(list)
    for check, verdict in verdicts:
        by_category[check.category].append((check, verdict))
    generator = np.random.default_rng(SEED)
    return {name: _rates(found, generator) for name, found in by_category.items()}


def overall(categories: Mapping[str, CategoryRates]) -> Overall:
    """The mean over categories; None if a check of any could not be run."""
    shares = [rates.share for rates in categories.values() if rates.share is not None]
    if not shares or len(shares) < len(categories):
        return Overall(share=None, interval_as_published=None, interval=None)
    found = categories.values()
    return Overall(
        share=sum(shares) / len(shares),
        interval_as_published=_interval(np.mean([r.resampled_checks for r in found], axis=0)),
        interval=_interval(np.mean([r.resampled_documents for r in found], axis=0)),
    )


def _rates(
    verdicts: Sequence[tuple[Check, Verdict]], generator: np.random.Generator
) -> CategoryRates:
    passed = sum(verdict.passed is True for _, verdict in verdicts)
    reasons: dict[str, int] = defaultdict(int)
    documents: dict[str, list[int]] = defaultdict(lambda: [0, 0])  # passed, all
    for check, verdict in verdicts:
        if verdict.passed is None:
            reasons[verdict.reason] += 1
        documents[check.pdf][0] += verdict.passed is True
        documents[check.pdf][1] += 1
    not_run, total = sum(reasons.values()), len(verdicts)
    counts = np.array(list(documents.values()), dtype=float)
    draws = generator.multinomial(len(counts), [1 / len(counts)] * len(counts), NUM_RESAMPLES)
    over_documents = 100 * (draws @ counts[:, 0]) / (draws @ counts[:, 1])
    return CategoryRates(
        passed=passed,
        failed=total - passed - not_run,
        not_run=not_run,
        share=None if not_run else 100 * passed / total,
        interval=None if not_run or len(counts) < 2 else _interval(over_documents),
        why_not_run=dict(reasons),
        resampled_checks=100 * generator.binomial(total, passed / total, NUM_RESAMPLES) / total,
        resampled_documents=over_documents,
    )


def _interval(resampled: NDArray[np.float64]) -> Interval:
    low, high = np.percentile(resampled, PERCENTILES)
    return round(float(low), 4), round(float(high), 4)
