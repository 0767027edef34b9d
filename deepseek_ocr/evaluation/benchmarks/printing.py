"""A benchmark's table as lines for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from .protocol import BenchmarkTable

THIS_RUN = "this run"
MISSING = "-"
_GAP = "  "
_WIDTH = 100  # columns that remarks are folded to
_FEW = 6  # characters that a line of a heading may have without making its column wider


def print_table(table: BenchmarkTable) -> str:
    """Columns as published, this run's values, the published rows, then reasons and notes."""
    rows = [(THIS_RUN, table.values), *table.published]
    headings = [_broken(column) for column in table.columns]
    height = max(map(len, headings), default=0)
    names = [""] * height + [name for name, _ in rows]
    stack = [_flush(names, left=True)]
    for number, heading in enumerate(headings):
        values = [values[number] for _, values in rows]
        above = [""] * (height - len(heading)) + heading
        stack.append(_flush(above + _written(values), left=False))
    lines = [_GAP.join(cells).rstrip() for cells in zip(*stack, strict=True)]
    return "\n".join([*lines, *_remarks(table)])


def _broken(heading: str) -> list[str]:
    """A heading as short lines, broken between words."""
    joined = heading.replace("& ", "&\u00a0")  # no line of a lone sign
    longest = max(map(len, joined.split(" ")))
    lines = textwrap.wrap(joined, max(longest, _FEW), break_on_hyphens=False)
    return [line.replace("\u00a0", " ") for line in lines] or [""]


def _written(values: Sequence[float | None]) -> list[str]:
    """One column's values; ours, the first, with as many decimals as the published ones have."""
    published = [_decimals(value) for value in values[1:] if value is not None]
    if published:
        decimals = max(published)
    else:
        decimals = 3 if values[0] is not None and 0 < abs(values[0]) <= 1 else 1
    return [MISSING if value is None else f"{value:.{decimals}f}" for value in values]


def _decimals(value: float) -> int:
    return len(repr(float(value)).partition(".")[2].rstrip("0")) or 1


def _flush(cells: Sequence[str], *, left: bool) -> list[str]:
    width = max(map(len, cells))
    return [cell.ljust(width) if left else cell.rjust(width) for cell in cells]


def _remarks(table: BenchmarkTable) -> list[str]:
    """Why values are missing (columns of one reason together), and the notes."""
    columns_of: dict[str, list[str]] = {}
    for column, reason in table.reasons.items():
        columns_of.setdefault(reason, []).append(column)
    remarks = [f"{MISSING} {', '.join(found)}: {why}" for why, found in columns_of.items()]
    folded = []
    for remark in [*remarks, *table.notes]:
        folded += textwrap.wrap(remark, _WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    return folded
