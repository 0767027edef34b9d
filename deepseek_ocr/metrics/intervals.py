"""How sure a score is: bootstrap intervals that resample whole documents.

Pages of one document err together, so resampling pages would promise too much. Percentile method;
the draws depend on the seed and on the set of documents, not on the order of the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Interval = tuple[float, float]


class PairedDifference(NamedTuple):
    """First score - second, its interval, and the p-value of no difference (two-sided)."""

    difference: float | None
    interval: Interval | None
    p_value: float | None


DECIMALS = 6  # summation order could change the digits after these

DRAWS_AT_ONCE = 64  # as float64; all at once would take 80 MB of 10,000 documents


class DocumentBootstrap:
    """Draws as many documents as there are, with repetition, `num_resamples` times.

    `documents` names the document of each row. With fewer than two documents nothing can be said:
    every interval is None.
    """

    def __init__(
        self,
        documents: Sequence[str],
        *,
        seed: int,
        num_resamples: int = 1000,
        confidence: float = 0.95,
    ):
        names, codes = np.unique(np.asarray(documents, dtype=object), return_inverse=True)
        self.num_documents = len(names)
        self.document_of_row: NDArray[np.intp] = codes
        self.percentiles = (50 * (1 - confidence), 50 * (1 + confidence))
        self.draws = self._draw(np.random.default_rng(seed), num_resamples)

    def _draw(self, generator: np.random.Generator, num_resamples: int) -> NDArray[np.float32]:
        """(resamples, documents): how often each document was drawn."""
        size = self.num_documents
        counts = np.empty((num_resamples, size), dtype=np.float32)
        for row in counts:
            row[:] = np.bincount(generator.integers(size, size=size), minlength=size)
        return counts

    def of_ratio(self, numerators: ArrayLike, denominators: ArrayLike) -> Interval | None:
        """Interval of sum(numerators) / sum(denominators), one of each a row.

        A mean is a ratio, too: denominators of 1, or 0 for a row that does not take part.
        """
        if self.num_documents < 2:
            return None
        above, below = self._totals(numerators, denominators)
        drawn = below > 0  # a resample of empty truths alone has no ratio
        return self._interval(above[drawn] / below[drawn])

    def paired_difference(
        self,
        numerators_a: ArrayLike,
        denominators_a: ArrayLike,
        numerators_b: ArrayLike,
        denominators_b: ArrayLike,
    ) -> PairedDifference:
        """Ratio a - ratio b (see `of_ratio`) of two answers to the same rows.

        Both are taken over the same draws, so that what makes a document hard for both cancels. The
        p-value is twice the share of draws on the other side of 0, draws at 0 on both, with one
        draw added to each side: never 0, and at most 1.
        """
        columns = (numerators_a, denominators_a, numerators_b, denominators_b)
        sums = [float(np.sum(np.asarray(column, float))) for column in columns]
        if sums[1] <= 0 or sums[3] <= 0:
            return PairedDifference(None, None, None)
        difference = round(sums[0] / sums[1] - sums[2] / sums[3], DECIMALS)
        if self.num_documents < 2:
            return PairedDifference(difference, None, None)
        above_a, below_a, above_b, below_b = self._totals(*columns)
        drawn = (below_a > 0) & (below_b > 0)
        drawn_differences = np.round(
            above_a[drawn] / below_a[drawn] - above_b[drawn] / below_b[drawn], DECIMALS
        )
        low, high = (drawn_differences <= 0).sum(), (drawn_differences >= 0).sum()
        tail = (1 + min(low, high)) / (1 + len(drawn_differences))
        p_value = round(min(1.0, 2 * float(tail)), DECIMALS)
        return PairedDifference(difference, self._interval(drawn_differences), p_value)

    def _totals(self, *columns: ArrayLike) -> NDArray[np.float64]:
        """(columns, resamples): sum of each column's rows in each resample."""
        of_documents = np.stack(
            [
                np.bincount(self.document_of_row, np.asarray(column, float), self.num_documents)
                for column in columns
            ],
            axis=1,
        )
        blocks = range(0, len(self.draws), DRAWS_AT_ONCE)
        return np.concatenate(
            [self.draws[at : at + DRAWS_AT_ONCE].astype(np.float64) @ of_documents for at in blocks]
        ).T

    def of_median(self, values: Sequence[float | None]) -> Interval | None:
        """Interval of the median of the rows' values; rows with None do not take part."""
        present = sorted((value, row) for row, value in enumerate(values) if value is not None)
        if self.num_documents < 2 or not present:
            return None
        numbers = np.array([value for value, _ in present])
        documents = self.document_of_row[[row for _, row in present]]
        medians = (_repeated_median(numbers, draw[documents]) for draw in self.draws)
        return self._interval(np.array([m for m in medians if m is not None]))

    def _interval(self, resampled: NDArray[np.float64]) -> Interval | None:
        if not len(resampled):
            return None
        low, high = np.percentile(resampled, self.percentiles)
        return round(float(low), DECIMALS), round(float(high), DECIMALS)


def _repeated_median(ascending: NDArray, repeats: NDArray) -> float | None:
    """Median of the values when each is repeated as often as `repeats` says."""
    last = np.cumsum(repeats, dtype=np.int64)  # one past the last place that each value takes
    total = int(last[-1])
    if total == 0:
        return None
    middle = np.searchsorted(last, [(total - 1) // 2, total // 2], side="right")
    return float(ascending[middle].mean())
