"""How long the rows of a dataset are, how large its pages, and what that costs in training.

Columns of numbers, not rows: a million rows take a few bytes each.
"""

from __future__ import annotations

import dataclasses
from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

Numbers = np.ndarray
Cost = Callable[[int, int], tuple[int, int]]
"""(width, height) of a page in pixels -> (tiles, image tokens)."""

SHUFFLE_SEED = 0
TAIL_SHARE = 0.01
"""Of the values at most this share lies in the last, open bar of a histogram."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quantiles:
    """Of `count` values: each is a value that occurs, or 0 if there are none."""

    count: int
    min: int
    median: int
    p90: int
    p99: int
    max: int
    mean: float

    def to_json(self) -> dict[str, Any]:
        """The figures by name."""
        return dataclasses.asdict(self)


def quantiles(values: Numbers) -> Quantiles:
    """Nearest-rank quantiles: the median is the smallest value that half of them do not exceed."""
    if not len(values):
        return Quantiles(count=0, min=0, median=0, p90=0, p99=0, max=0, mean=0.0)
    shares = (0.0, 0.5, 0.9, 0.99, 1.0)
    low, median, p90, p99, high = (
        int(value) for value in np.quantile(values, shares, method="inverted_cdf")
    )
    return Quantiles(
        count=len(values),
        min=low,
        median=median,
        p90=p90,
        p99=p99,
        max=high,
        mean=float(np.mean(values)),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Histogram:
    """`counts[i]` values lie from `first + i * width` on, below `first + (i + 1) * width`.

    With `open_end` the last bar has no end.
    """

    first: int
    width: int
    counts: tuple[int, ...]
    open_end: bool

    def label(self, bar: int) -> str:
        """The values of a bar, such as `20-39`, `7` or `200+`."""
        start = self.first + bar * self.width
        if self.open_end and bar == len(self.counts) - 1:
            return f"{start:,}+"
        return f"{start:,}" if self.width == 1 else f"{start:,}-{start + self.width - 1:,}"

    def to_json(self) -> dict[str, Any]:
        """The bars as (first value, count)."""
        bars = [[self.first + i * self.width, count] for i, count in enumerate(self.counts)]
        return {"width": self.width, "open_end": self.open_end, "bars": bars}


def histogram(values: Numbers, max_bars: int = 20) -> Histogram:
    """Whole numbers, at least 0, in at most `max_bars` bars of one round width.

    Round is 1, 2 or 5 times a power of ten; the largest hundredth may share the last bar.
    """
    if not len(values):
        return Histogram(first=0, width=1, counts=(), open_end=False)
    low, high = int(values.min()), int(values.max())
    reach = int(np.quantile(values, 1 - TAIL_SHARE, method="inverted_cdf"))
    width = _round_width(low, reach, max_bars if reach == high else max_bars - 1)
    if _num_bars(low, high, width) <= max_bars:
        reach = high
    first = low // width * width
    num_closed = _num_bars(low, reach, width)
    open_end = reach < high and high >= first + num_closed * width
    places = np.minimum((values - first) // width, num_closed)
    counts = np.bincount(places, minlength=num_closed + open_end)
    return Histogram(
        first=first, width=width, counts=tuple(int(c) for c in counts), open_end=open_end
    )


def _num_bars(low: int, high: int, width: int) -> int:
    return high // width - low // width + 1


def _round_width(low: int, high: int, max_bars: int) -> int:
    for power in range(len(str(high)) + 1):
        for step in (1, 2, 5):
            if _num_bars(low, high, step * 10**power) <= max_bars:
                return step * 10**power
    raise AssertionError("a width above the highest value gives one bar")


def padding_waste(lengths: Numbers, batch_size: int) -> float:
    """Share of the positions of all batches, filled in this order, that is padding: 0 ... 1.

    Every row of a batch is padded to its longest; the last batch takes what is left.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    used = int(lengths.sum())
    if not used:
        return 0.0
    whole = len(lengths) // batch_size * batch_size
    taken = int(lengths[:whole].reshape(-1, batch_size).max(axis=1).sum()) * batch_size
    if rest := len(lengths) - whole:
        taken += int(lengths[whole:].max()) * rest
    return 1 - used / taken


@dataclasses.dataclass(frozen=True, kw_only=True)
class Padding:
    """The padding waste of rows in the order of the dataset, shuffled, and sorted by length."""

    batch_size: int
    in_order: float
    shuffled: float
    sorted: float

    def to_json(self) -> dict[str, Any]:
        """The figures by name."""
        return dataclasses.asdict(self)


def padding(lengths: Numbers, batch_size: int) -> Padding:
    """What padding costs at a batch size."""
    order = np.random.default_rng(SHUFFLE_SEED).permutation(len(lengths))
    return Padding(
        batch_size=batch_size,
        in_order=padding_waste(lengths, batch_size),
        shuffled=padding_waste(lengths[order], batch_size),
        sorted=padding_waste(np.sort(lengths), batch_size),
    )


class LengthColumns:
    """What is measured of each row and of each of its pages, collected row by row.

    `cost` tells tiles and image tokens of a page by its size.
    """

    OF_ROWS = ("characters", "text_tokens", "pages_a_row", "image_tokens_a_row", "positions")
    OF_PAGES = ("width", "height", "tiles", "image_tokens")

    def __init__(self, cost: Cost):
        self._cost = cost
        self._columns = {name: array("I") for name in (*self.OF_ROWS, *self.OF_PAGES)}

    def __len__(self) -> int:
        return len(self._columns["positions"])

    def add(
        self,
        *,
        characters: int,
        text_tokens: int,
        other_tokens: int,
        sizes: Iterable[tuple[int, int]],
    ) -> int:
        """Count one row; the positions that it takes.

        Args:
            characters, text_tokens: of its true text.
            other_tokens: of its prompt without the image tokens, of its beginning and its end.
            sizes: (width, height) of its pages in pixels.
        """
        num_pages = row_image_tokens = 0
        for width, height in sizes:
            tiles, image_tokens = self._cost(width, height)
            self._append(self.OF_PAGES, (width, height, tiles, image_tokens))
            row_image_tokens += image_tokens
            num_pages += 1
        positions = row_image_tokens + text_tokens + other_tokens
        self._append(
            self.OF_ROWS, (characters, text_tokens, num_pages, row_image_tokens, positions)
        )
        return positions

    def _append(self, names: Sequence[str], values: Sequence[int]) -> None:
        for name, value in zip(names, values, strict=True):
            self._columns[name].append(value)

    def column(self, name: str) -> Numbers:
        """The measures of one name (see `OF_ROWS`, `OF_PAGES`), in the order of the rows."""
        return np.array(self._columns[name], dtype=np.int64)
