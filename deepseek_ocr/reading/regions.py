"""Labelled parts of a page as readers of it get them: a label, a box in page pixels, a text.

Boxes are (x1, y1, x2, y2) in whole pixels of the page as it was read, upright, its left upper
corner being (0, 0); x2 and y2 are the first column and row behind the box, as in Pillow.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..data.truth.grounding import GridBox, from_grounding

Box = tuple[int, int, int, int]
Size = tuple[int, int]
"""Width and height of a page in pixels."""

MAX_LABEL = 200  # characters; the raw answer keeps what is longer

FIGURE_LABELS = frozenset({"image", "figure", "picture", "chart"})
"""What is cut out of the page and shown; the published model says `image`."""

LAYOUT_LABELS = FIGURE_LABELS | {
    *("title", "sub_title", "text", "list", "table", "table_caption", "table_footnote"),
    *("image_caption", "image_footnote", "figure_caption", "chart_caption", "equation", "formula"),
    *("code", "header", "footer", "page_number", "page_footnote", "footnote", "aside_text"),
    *("reference", "abstract", "algorithm"),
}
"""Labels that say what a part of a page is: not a text that stands on it."""


@dataclass(frozen=True, kw_only=True)
class Region:
    """A part of a page; `box` in page pixels.

    `label` is what the model calls it, or what it was asked to find; "" for a line of text.
    """

    label: str
    box: Box
    text: str = ""


def page_box(box: GridBox, size: Size) -> Box:
    """A box on the model's grid -> in pixels of the page, at least one of them wide and high."""
    width, height = size
    x1, y1, x2, y2 = (round(side) for side in from_grounding(box, width, height))
    x1, x2 = _at_least_one(x1, x2, width)
    y1, y2 = _at_least_one(y1, y2, height)
    return x1, y1, x2, y2


def _at_least_one(first: int, last: int, side: int) -> tuple[int, int]:
    if first < last or side < 1:
        return first, last
    first = min(first, side - 1)
    return first, first + 1
