"""A sheet being written on from top to bottom: places text, wraps it, keeps it inside the margins.

Nothing that a `Sheet` places can leave the page: what is too wide is shortened, and what does not
fit below is not written (`False` or `None` comes back).
"""

from __future__ import annotations

import html
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from .fonts import Family
from .layout import Block, Colour, Layout, Line, Run, Stroke, Type

Align = Literal["left", "centre", "right"]
SMALLEST_PX = 10  # of type; smaller is not legible


@dataclass(frozen=True)
class Style:
    """What the pages of a document have in common."""

    family: Family
    body_px: int
    ink: Colour
    accent: Colour
    leading: float  # line distance in units of the type size
    margin_px: int
    spacing: float = 0.0  # between letters, beyond the face's own, in units of the type size


@dataclass(frozen=True)
class Cell:
    """Text to be placed between `left` and `right` (pixels)."""

    text: str
    left: float
    right: float
    align: Align = "left"
    type: Type | None = None


class Sheet:
    """A page of `width` x `height` pixels; `y` is the bottom of what has been written so far."""

    def __init__(
        self,
        rng: random.Random,
        style: Style,
        width: int,
        height: int,
        *,
        max_characters: int | None = None,
    ):
        self.rng, self.style = rng, style
        self.layout = Layout(width, height)
        self.left, self.right = float(style.margin_px), float(width - style.margin_px)
        self.y, self.bottom = float(style.margin_px), float(height - style.margin_px)
        self.max_characters = max_characters

    def type(
        self, scale: float = 1.0, *, bold: bool = False, italic: bool = False, accent: bool = False
    ) -> Type:
        """The document's type, `scale` times the size of its body text."""
        size_px = max(SMALLEST_PX, round(self.style.body_px * scale))
        face = self.style.family.face(bold=bold, italic=italic)
        ink = self.style.accent if accent else self.style.ink
        return Type(face, size_px, ink, size_px * self.style.spacing)

    def line_height(self, type: Type | None = None) -> float:
        """Distance between baselines in pixels."""
        return (type or self.type()).size_px * self.style.leading

    def room(self, type: Type | None = None) -> int:
        """How many more lines of a type fit."""
        return max(0, int((self.bottom - self.y) / self.line_height(type)))

    @property
    def characters_left(self) -> int:
        """How many more characters the page is meant to hold."""
        written = sum(len(line.text) for line in self.layout.lines)
        return (self.max_characters or sys.maxsize) - written

    def skip(self, lines: float = 1.0) -> None:
        """Leave room of some body lines."""
        self.y += lines * self.line_height()

    def line(self, cells: Sequence[Cell | str]) -> Line | None:
        """Place cells on one new baseline, without adding them to a block yet."""
        placed = [Cell(c, self.left, self.right) if isinstance(c, str) else c for c in cells]
        types = [cell.type or self.type() for cell in placed]
        tallest = max(types, key=lambda t: t.size_px)
        height = self.line_height(tallest)
        if self.y + height > self.bottom:
            return None
        baseline = round(self.y + 0.5 * (height + 0.7 * tallest.size_px))
        runs = [run for c, t in zip(placed, types, strict=True) if (run := _run(c, t, baseline))]
        if not runs:
            return None
        self.y += height
        return Line(tuple(runs))

    def room_for(self, text: str) -> float:
        """Width in pixels of a column that holds `text`, bold or not."""
        types = (self.type(), self.type(bold=True))
        return max(type.width(type.face.printable(text)) for type in types) + 4

    def fitting(
        self, make: Callable[[], str], type: Type | None = None, width: float | None = None
    ) -> str:
        """A text from `make` that is no wider than `width` (pixels, default: the margins')."""
        type = type or self.type()
        text = ""
        for _ in range(8):
            text = make()
            if type.width(type.face.printable(text)) < (width or self.right - self.left) - 3:
                break
        return text

    def add(
        self, label: str, lines: Sequence[Line | None], markdown: str | None = None, *, close=False
    ) -> bool:
        """Put placed lines on the page as one block; False if there were none."""
        there = tuple(line for line in lines if line is not None)
        if there:
            text = "\n".join(line.text for line in there)
            self.layout.blocks.append(Block(label, there, markdown or text, close))
        return bool(there)

    def write(
        self,
        text: str,
        type: Type | None = None,
        *,
        align: Align = "left",
        label: str = "text",
        close: bool = False,
    ) -> bool:
        """One line as a block of its own, shortened if it is too wide."""
        line = self.line([Cell(text, self.left, self.right, align, type)])
        return self.add(label, [line], close=close)

    def title(self, text: str, type: Type, *, align: Align = "left", level: int = 1) -> bool:
        """A heading in one line."""
        line = self.line([Cell(text, self.left, self.right, align, type)])
        label = "title" if level == 1 else "sub_title"
        return self.add(label, [line], f"{'#' * level} {line.text}" if line else None)

    def wrap(self, text: str, type: Type | None = None, *, indent: float = 0.0) -> list[str]:
        """Running text cut into lines between the margins; `indent` (pixels) for the first."""
        type = type or self.type()
        words = type.face.printable(text).split()
        lines: list[str] = []
        while words:
            width = self.right - self.left - (0 if lines else indent)
            count = _words_that_fit(words, type, width)
            lines.append(" ".join(words[:count]))
            words = words[count:]
        return lines

    def paragraph(self, text: str, type: Type | None = None, *, indent: float = 0.0) -> bool:
        """Running text as one block, wrapped; cut at the bottom of the page."""
        lines = []
        for number, line in enumerate(self.wrap(text, type, indent=indent)):
            left = self.left + (0 if number else indent)
            lines.append(self.line([Cell(line, left, self.right, "left", type)]))
        return self.add("text", lines, " ".join(line.text for line in lines if line))

    def paragraphs(self, sentence: Callable[[], str], count: int, *, indent: float = 0.0) -> None:
        """Paragraphs of whole sentences until `count`, the page or its characters are used up."""
        for number in range(count):
            text = self._sentences(sentence, self.rng.randint(2, 6), indent)
            if not text:
                return
            if number and not indent:
                self.skip(0.5)
            self.paragraph(text, indent=indent)

    def _sentences(self, sentence: Callable[[], str], most: int, indent: float) -> str:
        """As many sentences as the page still has room for, at most `most`."""
        text = ""
        for _ in range(most):
            longer = f"{text} {sentence()}".strip()
            num_lines = len(self.wrap(longer, indent=indent))
            if len(longer) > self.characters_left or num_lines + 0.6 > self.room():
                break
            text = longer
        return text

    def table(
        self, lines: Sequence[Line | None], rows: Sequence[Sequence[str]], *, close: bool = False
    ) -> bool:
        """Lines that are rows of a table; `rows` are their cells, for the HTML of the Markdown."""
        return self.add("table", lines, html_table(rows), close=close)

    def rule(self, px: int = 1) -> None:
        """A ruled line of `px` pixels under what has been written, from margin to margin."""
        y = round(self.y)
        box = (round(self.left), y, round(self.right), y + px)
        self.layout.strokes.append(Stroke(box, self.style.ink))
        self.y += px

    def crop(self) -> None:
        """End the page a margin below what has been written."""
        self.layout.height = min(self.layout.height, round(self.y) + self.style.margin_px)


def html_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as `<table><tr><td>..</td></tr></table>`."""
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(c, quote=False)}</td>" for c in row) + "</tr>"
        for row in rows
    )
    return f"<table>{body}</table>"


def shortened(text: str, type: Type, width: float) -> str:
    """`text`, less as many words, then letters, as it is too wide."""
    text = whole = " ".join(text.split())
    while text and type.width(text) > width:
        text = text.rpartition(" ")[0] or text[:-1]
    return text if text == whole else text.rstrip(" ,;:(&-")


def _run(cell: Cell, type: Type, baseline: int) -> Run | None:
    room = cell.right - cell.left - 2  # italics lean a little over their width
    text = shortened(type.face.printable(cell.text), type, room)
    if not text:
        return None
    spare = room - type.width(text)
    x = cell.left + 1 + {"left": 0.0, "centre": spare / 2, "right": spare}[cell.align]
    return Run(text, round(x), baseline, type)


def _words_that_fit(words: Sequence[str], type: Type, width: float) -> int:
    """How many of the first words fit side by side; at least one."""
    blank, used = type.width(" "), 0.0
    for count, word in enumerate(words):
        used += type.width(word) + (blank if count else 0)
        if used > width - 3:
            return max(1, count)
    return len(words)
