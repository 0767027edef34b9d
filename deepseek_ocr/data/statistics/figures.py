"""What `deepseek-ocr check` tells of a dataset in figures: quantiles, histograms, padding."""

from __future__ import annotations

import dataclasses
from typing import Any

from .lengths import (
    Histogram,
    LengthColumns,
    Padding,
    Quantiles,
    histogram,
    padding,
    quantiles,
)

MAX_BARS, FEW_BARS = 24, 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """One measure of all rows, or of all pages; `title` says which.

    `outline` is the histogram in few bars, for a terminal.
    """

    name: str
    title: str
    quantiles: Quantiles
    histogram: Histogram
    outline: Histogram


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figures:
    """All measures, and what padding costs; `are_estimates` where tokens were not counted."""

    measures: tuple[Figure, ...]
    padding: Padding
    are_estimates: bool

    def to_json(self) -> dict[str, Any]:
        """The figures by name."""
        return {
            "tokens": "estimated" if self.are_estimates else "counted",
            "measures": {
                figure.name: {
                    "title": figure.title,
                    **figure.quantiles.to_json(),
                    "histogram": figure.histogram.to_json(),
                }
                for figure in self.measures
            },
            "padding": self.padding.to_json(),
        }

    def measure(self, name: str) -> Figure | None:
        """The measure of that name, if anything was measured."""
        return next((figure for figure in self.measures if figure.name == name), None)


def figures_of(columns: LengthColumns, batch_size: int, *, are_estimates: bool) -> Figures:
    """The figures of collected lengths; measures of nothing (pages of text-only rows) are left out.

    `are_estimates`: tokens of texts are estimated, not counted.
    """
    about = "~" if are_estimates else ""
    titles = {
        "characters": "characters a text",
        "text_tokens": f"{about}tokens a text",
        "pages_a_row": "pages a row",
        "width": "width of a page",
        "height": "height of a page",
        "tiles": "tiles a page",
        "image_tokens": "image tokens a page",
        "positions": f"{about}positions a row",
    }
    measures = []
    for name, title in titles.items():
        column = columns.column(name)
        if len(column):
            measures.append(
                Figure(
                    name=name,
                    title=title,
                    quantiles=quantiles(column),
                    histogram=histogram(column, MAX_BARS),
                    outline=histogram(column, FEW_BARS),
                )
            )
    return Figures(
        measures=tuple(measures),
        padding=padding(columns.column("positions"), batch_size),
        are_estimates=are_estimates,
    )
