"""Means and shares as the tables of benchmarks hold them."""

from __future__ import annotations

from collections.abc import Iterable

from ...metrics.text import mean


def mean_of_known(values: Iterable[float | None]) -> float | None:
    """The mean of the values that are not None; None without any."""
    return mean([value for value in values if value is not None])


def per_cent(share: float | None) -> float | None:
    """A share, 0 to 1, in per cent."""
    return None if share is None else 100 * share
