"""Words with boxes, as a PDF tells them, put back into columns, lines and paragraphs.

The order of the words is not trusted: a PDF's words come from top to bottom across the columns of a
page. Boxes are in thousandths of the page's sides.
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from ._blocks import Block, Line, box_around_all
from ._reading_order import Box

PAGE = 1000
GUTTER = 12  # between two columns at least; words of a line stand closer
TWO_COLUMNS = 0.2  # of the height of all text; pages of one column reach 0.09, of two 0.36
ENOUGH = 0.8  # of the width of the gutter: a gap as wide parts columns
ACROSS = 0.6  # of the text's width: what is so wide is no column
INDENT = 8  # of the first line of a paragraph, at least
GLUED = 1  # a smaller gap is no blank: a superscript, a formula's letters

_HANGING = frozenset({"reference", "list"})  # whose first lines stand out to the left


@dataclasses.dataclass(frozen=True, slots=True)
class Word:
    """A word, its box and the label of the part of the page it belongs to, "" if not known."""

    text: str
    box: Box
    label: str

    @property
    def middle(self) -> float:
        return (self.box[1] + self.box[3]) / 2

    @property
    def height(self) -> float:
        return self.box[3] - self.box[1]

    @property
    def is_letters(self) -> bool:
        """Whether it holds letters or digits, not only symbols; `(cid:16)` is a nameless glyph."""
        return not self.text.startswith("(cid:") and any(c.isalnum() for c in self.text)


@dataclasses.dataclass(frozen=True, slots=True)
class _Row:
    """Words of a line from left to right; `box` is that of the one with the most usual height."""

    words: Sequence[Word]
    box: Box
    label: str


def blocks_of_words(words: Sequence[Word]) -> list[Block]:
    """A page's paragraphs, headings, captions ... in reading order, line by line."""
    return [
        Block(lines=[_line(row) for row in rows], label=rows[0].label)
        for part in _parts(words)
        for rows in _paragraphs(_rows(part))
    ]


def find_gutter(words: Sequence[Word]) -> tuple[float, float] | None:
    """The blank strip between the two columns of a page, as (middle, width); None for one column.

    Sought in the middle fifth of the text: a strip with well-filled lines on both sides.
    """
    if not words:
        return None
    boxes = np.clip(np.array([word.box for word in words]), 0, PAGE)
    middle = (boxes[:, 0].min() + boxes[:, 2].max()) / 2
    reach = (boxes[:, 2].max() - boxes[:, 0].min()) / 10
    places = np.arange(middle - reach, middle + reach, 2)
    shares = [_two_column_share(boxes, place) for place in places]
    best = max(shares, default=0.0)
    if best < TWO_COLUMNS:
        return None
    blank = [x for x, share in zip(places, shares, strict=True) if share > 0.9 * best]
    return float(np.median(blank)), float(blank[-1] - blank[0]) + GUTTER


def _two_column_share(boxes: np.ndarray, gutter: float) -> float:
    """The part of the text's height where lines end and begin on both sides of a place."""
    on_left = boxes[:, 2] <= gutter - GUTTER / 2
    on_right = boxes[:, 0] >= gutter + GUTTER / 2
    full_left = _filled(boxes[on_left]) > (gutter - boxes[:, 0].min()) / 2
    full_right = _filled(boxes[on_right]) > (boxes[:, 2].max() - gutter) / 2
    crossed = _filled(boxes[~on_left & ~on_right]) > 0
    height = (full_left | full_right | crossed).sum()
    return float((full_left & full_right & ~crossed).sum() / height) if height else 0.0


def _filled(boxes: np.ndarray) -> np.ndarray:
    """(PAGE + 1,) the width that boxes fill at each height."""
    changes = np.zeros(PAGE + 2)
    widths = boxes[:, 2] - boxes[:, 0]
    np.add.at(changes, boxes[:, 1].astype(int), widths)
    np.add.at(changes, boxes[:, 3].astype(int), -widths)
    return changes.cumsum()[:-1]


def _parts(words: Sequence[Word]) -> Iterator[Sequence[Word]]:
    """Words in groups that are read one after another: columns, and what goes across them."""
    gutter = find_gutter(words)
    if gutter is None:
        yield words
        return
    across, others = _across(words, *gutter)
    spans = _merged_spans([(word.box[1], word.box[3]) for word in across])
    columns: dict[tuple[int, int], list[Word]] = {}  # (spans above it, 0 left or 1 right)
    for word in others:
        above = sum(begin < word.middle for begin, _ in spans)
        columns.setdefault((above, int(word.box[0] >= gutter[0])), []).append(word)
    lines_across: dict[int, list[Word]] = {}
    for word in across:
        span = sum(begin <= word.middle for begin, _ in spans) - 1
        lines_across.setdefault(span, []).append(word)
    waiting: list[Word] = []  # what goes across, as long as no column stands between
    for above in range(len(spans) + 1):
        sides = [columns[above, side] for side in (0, 1) if (above, side) in columns]
        if sides and waiting:
            yield waiting
            waiting = []
        yield from sides
        waiting = waiting + lines_across.get(above, [])
    if waiting:
        yield waiting


def _across(words: Sequence[Word], gutter: float, width: float) -> tuple[list[Word], list[Word]]:
    """The words of lines that go across the gutter, and the others."""
    ordered = sorted(words, key=lambda word: word.middle)
    near = _neighbours(ordered)
    text_width = max(word.box[2] for word in words) - min(word.box[0] for word in words)
    across: set[int] = set()
    for run in _runs(ordered, near, ENOUGH * width):
        left = min(ordered[place].box[0] for place in run)
        right = max(ordered[place].box[2] for place in run)
        if not left < gutter < right:
            continue
        if right - left > ACROSS * text_width:  # a line of the whole page, with all there is in it
            run |= {i for place in run for i in near[place] if _in_line(ordered, place, i)}
        across |= run
    return (
        [word for place, word in enumerate(ordered) if place in across],
        [word for place, word in enumerate(ordered) if place not in across],
    )


def _runs(words: Sequence[Word], near: Sequence[range], gap: float) -> Iterator[set[int]]:
    """Words that stand in a line, each less than `gap` from the next."""
    left = set(range(len(words)))
    while left:
        new = [left.pop()]
        run = set(new)
        while new:
            place = new.pop()
            beside = {
                i
                for i in near[place]
                if i in left and _in_line(words, place, i) and _gap(words, place, i) < gap
            }
            left -= beside
            run |= beside
            new.extend(beside)
        yield run


def _neighbours(words: Sequence[Word]) -> list[range]:
    """For each of the words, sorted by their middle, those that may share a line with it."""
    middles = [word.middle for word in words]
    reach = statistics.median(word.height for word in words)
    return [
        range(bisect.bisect_left(middles, m - reach), bisect.bisect_right(middles, m + reach))
        for m in middles
    ]


def _in_line(words: Sequence[Word], one: int, other: int) -> bool:
    return _shared(words[one].box, words[other].box) > 0.5


def _gap(words: Sequence[Word], one: int, other: int) -> float:
    first, second = words[one].box, words[other].box
    return max(first[0], second[0]) - min(first[2], second[2])


def _merged_spans(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for begin, end in sorted(spans):
        if merged and begin < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


def _rows(words: Sequence[Word]) -> list[_Row]:
    """Lines from top to bottom: words of the usual height make them, all else joins one of them or,
    as headings do, makes its own."""
    typical = statistics.median(word.height for word in words)
    groups: list[tuple[Box, list[Word]]] = []
    others = []
    for word in sorted(words, key=lambda word: (word.middle, word.box[0])):
        if not word.is_letters or not 0.6 * typical <= word.height <= 1.25 * typical:
            others.append(word)
        elif groups and _shared(groups[-1][0], word.box) > 0.5:
            box, members = groups[-1]
            members.append(word)
            if abs(word.height - typical) < abs(box[3] - box[1] - typical):
                groups[-1] = (word.box, members)
        else:
            groups.append((word.box, [word]))
    for word in others:
        line = _line_of(word, groups, typical)
        if line is not None:
            line.append(word)
        else:
            groups.append((word.box, [word]))
    ordered = sorted(groups, key=lambda group: (group[0][1] + group[0][3], group[0][0]))
    rows: list[_Row] = []
    for box, members in ordered:
        label = _label(members) or (rows[-1].label if rows else "")
        members.sort(key=lambda word: (word.box[0], word.box[1]))
        rows.append(_Row(words=members, box=box, label=label))
    return rows


def _line_of(
    word: Word, groups: Sequence[tuple[Box, list[Word]]], typical: float
) -> list[Word] | None:
    """The line that a word of unusual height, or a symbol, belongs to.

    The boxes of symbols reach too high: where their lower side lies tells more.
    """
    needed = 0.5 if word.is_letters and word.height >= typical else 0.2
    near = [group for group in groups if _shared(group[0], word.box) > needed]
    if word.is_letters or word.height > 2 * typical:
        near.sort(key=lambda group: -_shared(group[0], word.box))
    else:
        near.sort(key=lambda group: abs(group[0][3] - word.box[3]))
    return near[0][1] if near else None


def _label(words: Sequence[Word]) -> str:
    """The label of most words; "" where none is told."""
    labels = Counter(word.label for word in words if word.label)
    return max(labels, key=lambda label: (labels[label], label), default="")


def _paragraphs(rows: Sequence[_Row]) -> Iterator[list[_Row]]:
    """Rows that belong together: of one label, without a gap, up to the next indented line."""
    pitches = [below.box[3] - above.box[3] for above, below in itertools.pairwise(rows)]
    pitch = statistics.median(pitches) if pitches else 0.0
    left = min(row.words[0].box[0] for row in rows)
    paragraph = [rows[0]]
    for above, row in itertools.pairwise(rows):
        if _begins_paragraph(above, row, pitch, left):
            yield paragraph
            paragraph = []
        paragraph.append(row)
    yield paragraph


def _begins_paragraph(above: _Row, row: _Row, pitch: float, left: float) -> bool:
    if row.label != above.label or row.box[3] - above.box[3] > 1.35 * pitch:
        return True
    begin, begin_above = row.words[0].box[0], above.words[0].box[0]
    if row.label in _HANGING:
        return begin < begin_above - INDENT
    is_indented = begin > left + INDENT and begin > begin_above + INDENT
    return row.label == "paragraph" and is_indented


def _line(row: _Row) -> Line:
    text = row.words[0].text
    for before, word in itertools.pairwise(row.words):
        gap = word.box[0] - before.box[2]
        text += word.text if gap <= GLUED else f" {word.text}"
    return Line(text, box_around_all(word.box for word in row.words))


def _shared(one: Box, other: Box) -> float:
    """How much of the lower one's height two boxes have in common."""
    common = min(one[3], other[3]) - max(one[1], other[1])
    return common / max(min(one[3] - one[1], other[3] - other[1]), 1)
