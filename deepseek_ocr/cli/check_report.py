"""The lines that `deepseek-ocr check` prints: tables, and histograms of marks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from ..data.annotations import Annotation
from ..data.problems import printable
from ..data.statistics.duplicates import Duplicates
from ..data.statistics.figures import Figures
from ..data.statistics.lengths import Histogram

SHOWN_HISTOGRAMS = ("text_tokens", "tiles", "positions")
BAR_WIDTH = 40
MOST_SHOWN = 60  # characters of a sample's text


def sample_line(sample: Annotation) -> str:
    """A sample's id and the beginning of its text."""
    text = printable(" ".join(sample.text[: 10 * MOST_SHOWN].split()))
    shown = text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 3] + "..."
    return f"sample     {printable(sample.id)}: {shown}"


def count_lines(counts: Mapping[str, int]) -> list[str]:
    """Names and counts, in two columns."""
    return aligned([(name, f"{count:,}") for name, count in counts.items()])


def contradiction_lines(duplicates: Duplicates) -> Iterator[str]:
    """A warning of pictures to which the same question has different answers."""
    if not duplicates.contradictions:
        return
    yield ""
    yield f"warning: different texts for the same picture: {duplicates.contradictions}"
    yield from (f"  {line}" for line in duplicates.first)
    if len(duplicates.first) < duplicates.contradictions:
        yield f"  ... and {duplicates.contradictions - len(duplicates.first)} more"


def table(figures: Figures) -> list[str]:
    """The quantiles of every measure."""
    rows: list[tuple[str, ...]] = [("", "min", "median", "p90", "p99", "max")]
    for figure in figures.measures:
        found = figure.quantiles
        values = (found.min, found.median, found.p90, found.p99, found.max)
        rows.append((figure.title, *(f"{value:,}" for value in values)))
    return aligned(rows)


def padding_line(figures: Figures) -> str:
    """What padding costs in three orders."""
    found = figures.padding
    return (
        f"padding at batch size {found.batch_size}: {found.in_order:.1%} in this order, "
        f"{found.shuffled:.1%} shuffled, {found.sorted:.1%} sorted by length"
    )


def histograms(figures: Figures, mark: str) -> Iterator[str]:
    """The histograms that fit a terminal, each under its title."""
    for name in SHOWN_HISTOGRAMS:
        figure = figures.measure(name)
        if figure is not None and figure.quantiles.min < figure.quantiles.max:
            yield ""
            yield figure.title
            yield from bars(figure.outline, mark)


def bars(shown: Histogram, mark: str = "#") -> list[str]:
    """Of each bar its values, its length in marks, its count; what holds anything has a mark."""
    labels = [shown.label(bar) for bar in range(len(shown.counts))]
    room = max(map(len, labels))
    highest = max(shown.counts)
    lines = []
    for label, count in zip(labels, shown.counts, strict=True):
        length = math.ceil(BAR_WIDTH * count / highest)
        lines.append(f"  {label:>{room}}  {mark * length}{' ' if count else ''}{count:,}")
    return lines


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines: the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for first, *others in rows:
        cells = [f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([f"{first:<{widths[0]}}", *cells]).rstrip())
    return lines
