"""Where the lines of an answer stand on its page.

The model gives a box to a paragraph, not to its lines. Those are found as rows of ink in the box;
where an answer has more or fewer lines than the page shows there, its words are shared out by the
rows' widths. Boxes are (x1, y1, x2, y2) in page pixels.
"""

from __future__ import annotations

import functools
import itertools
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .figures import is_figure
from .markup import ParsedAnswer, shown_text
from .regions import Box
from .text import plain_text

LEAST_CONTRAST = 24  # of 255, between the ink and what it stands on
LEAST_SHARE = 0.003  # of a row of pixels, that is ink where a line stands; less are specks
LEAST_HEIGHT = 3  # pixels of a line's row of ink
SMALL_ROW = 0.4  # of the usual height; a smaller row is an accent, a dot or a rule

_NARROW = frozenset(" iljtfr.,:;'|!()[]I’‘")
_WIDE = frozenset("mwMW@%—")


class TextLine(NamedTuple):
    """A line of text and its box."""

    text: str
    box: Box


def placed_lines(answer: ParsedAnswer, picture: Image.Image) -> Iterator[TextLine]:
    """The lines of an answer, in reading order, each where it stands on the page `picture`."""
    whole = (0, 0, *picture.size)
    grey = picture.convert("L")
    for block in answer.blocks:
        if answer.kind == "layout" and not (is_figure(block) and not block.text):
            lines = plain_text(shown_text(block)).split("\n")
            box = block.boxes[0] if block.boxes else whole
            yield from lines_in_box([line for line in lines if line.strip()], grey, box)
        elif answer.kind == "lines":
            box = block.boxes[0] if block.boxes else whole
            yield TextLine(" ".join((block.label or block.text).split()), box)


def lines_in_box(lines: Sequence[str], grey: Image.Image, box: Box) -> list[TextLine]:
    """Lines of text that stand in a box of a grey page, each with the box it fills there."""
    lines = [" ".join(line.split()) for line in lines]
    if not lines:
        return []
    rows = ink_rows(grey, box)
    if len(lines) > max(len(rows), 1):
        rows = _even_rows(box, len(lines))
    elif len(lines) < len(rows):
        lines = shared_out(" ".join(lines).split(" "), [row[2] - row[0] for row in rows])
    return [TextLine(line, row) for line, row in zip(lines, rows or [box], strict=True) if line]


def ink_rows(grey: Image.Image, box: Box) -> list[Box]:
    """The lines of print in a box of a grey page, from above: the boxes of their ink."""
    x1, y1 = box[:2]
    ink = _ink(np.asarray(grey.crop(box)))
    least = max(1, round(LEAST_SHARE * ink.shape[1]))
    runs = _joined(_runs(ink.sum(axis=1) >= least))
    rows = []
    for top, bottom in runs:
        columns = np.flatnonzero(ink[top:bottom].any(axis=0))
        rows.append((x1 + int(columns[0]), y1 + top, x1 + int(columns[-1]) + 1, y1 + bottom))
    return rows


def shared_out(words: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Words in their order on as many lines as `widths`, by the share of each in their sum."""
    lengths = [print_width(word) for word in words]
    blank = print_width(" ")
    total = sum(lengths) + blank * max(0, len(words) - len(widths))  # none at the end of a line
    scale = total / max(sum(widths), 1)
    lines, place, used, reached = [], 0, 0.0, 0.0
    for width in widths:
        reached += width * scale
        begin = place
        # a word stands on the line in which its middle falls
        while place < len(words) and used + lengths[place] / 2 < reached:
            used += lengths[place] + blank
            place += 1
        used -= blank if place > begin else 0
        lines.append(" ".join(words[begin:place]))
    lines[-1] = " ".join(filter(None, (lines[-1], *words[place:])))
    return lines


def print_width(text: str) -> float:
    """About how wide a text is in print, in widths of a usual letter."""
    return sum(map(_letter_width, text))


@functools.lru_cache(maxsize=4096)
def _letter_width(letter: str) -> float:
    if letter in _NARROW:
        return 0.5
    if letter in _WIDE:
        return 1.5
    if unicodedata.combining(letter):
        return 0.0
    if unicodedata.east_asian_width(letter) in ("W", "F"):
        return 1.8
    return 1.2 if letter.isupper() else 1.0


def _ink(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where pixels differ from the ground, which most of them are; by Otsu's threshold."""
    counts = np.bincount(pixels.ravel(), minlength=256).astype(np.float64)
    below, total = counts.cumsum(), counts.sum()  # pixels up to each grey
    sums = (counts * np.arange(256)).cumsum()
    with np.errstate(invalid="ignore", divide="ignore"):
        dark_mean, light_mean = sums / below, (sums[-1] - sums) / (total - below)
        spread = np.nan_to_num(below * (total - below) * (light_mean - dark_mean) ** 2)
    threshold = int(spread.argmax())
    if not light_mean[threshold] - dark_mean[threshold] >= LEAST_CONTRAST:  # or no number
        return np.zeros(pixels.shape, dtype=bool)
    dark = pixels <= threshold
    return dark if np.count_nonzero(dark) * 2 <= dark.size else ~dark


def _runs(filled: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and behind last of each run of true."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], filled, [False]))))
    return [(int(first), int(last)) for first, last in edges.reshape(-1, 2)]


def _joined(runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Rows of ink with the dots and accents above them, without rules and specks."""
    heights = [last - first for first, last in runs if last - first >= LEAST_HEIGHT]
    if not heights:
        return []
    usual = float(np.median(heights))
    joined: list[tuple[int, int]] = []
    waiting: tuple[int, int] | None = None  # a small row, perhaps the dots of the next
    for first, last in runs:
        if last - first < SMALL_ROW * usual:
            waiting = (first, last)
            continue
        if waiting and first - waiting[1] < SMALL_ROW * usual:
            first = waiting[0]
        joined.append((first, last))
        waiting = None
    return joined


def _even_rows(box: Box, count: int) -> list[Box]:
    x1, y1, x2, y2 = box
    edges = [y1 + (y2 - y1) * number / count for number in range(count + 1)]
    return [
        (x1, int(above), x2, max(int(below), int(above) + 1))
        for above, below in itertools.pairwise(edges)
    ]
