"""Where everything on a page stands: runs of text in lines, lines in blocks, strokes between.

A layout has no pixels yet, so truth, boxes and glyph places are known before anything is drawn.
Coordinates are pixels of the picture, x to the right, y down; boxes are (x1, y1, x2, y2).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from ..annotations import Region
from .fonts import Face

Box = tuple[float, float, float, float]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Type:
    """How text looks: face, size in pixels, ink, and extra room after each letter in pixels."""

    face: Face
    size_px: int
    ink: Colour
    spacing_px: float = 0.0

    def width(self, text: str) -> float:
        """Width of `text` in pixels."""
        return self.face.width(text, self.size_px) + self.spacing_px * len(text)


@dataclass(frozen=True)
class Glyph:
    """One drawn character and the box of its ink."""

    character: str
    box: Box


@dataclass(frozen=True)
class Run:
    """Text in one type; `x`, `y` is where its baseline begins."""

    text: str
    x: int
    y: int
    type: Type

    @cached_property
    def box(self) -> Box:
        """What the ink takes up, to the pixel."""
        return self._box(self.text, self.x)

    def glyphs(self) -> Iterator[Glyph]:
        """Every character but blanks, with the box of its ink."""
        for character, x in self.pens():
            if character != " ":
                yield Glyph(character, self._box(character, x))

    def pens(self) -> Iterator[tuple[str, float]]:
        """Every character, with where its pen begins."""
        width, x, before = self.type.width, float(self.x), ""
        for character in self.text:
            x += width(before + character) - width(character)  # the pen's way, kerning included
            before = character
            yield character, x

    def _box(self, text: str, x: float) -> Box:
        left, top, right, bottom = self.type.face.ink(text, self.type.size_px)
        right += self.type.spacing_px * max(len(text) - 1, 0)
        return (x + left, self.y + top, x + right, self.y + bottom)


@dataclass(frozen=True)
class Line:
    """Runs on one baseline, left to right; such as an item and its price."""

    runs: tuple[Run, ...]

    @property
    def text(self) -> str:
        return " ".join(run.text for run in self.runs)

    @cached_property
    def box(self) -> Box:
        return union(run.box for run in self.runs)


@dataclass(frozen=True)
class Block:
    """Lines that belong together, under a label as published models give it, and their Markdown.

    `close` blocks follow the one before without a blank line.
    """

    label: str
    lines: tuple[Line, ...]
    markdown: str
    close: bool = False

    @property
    def text(self) -> str:
        return "\n".join(line.text for line in self.lines)


@dataclass(frozen=True)
class Stroke:
    """A ruled line, or an area, filled with `ink`; drawn below the text."""

    box: Box
    ink: Colour


@dataclass
class Layout:
    """A page before it is drawn; blocks in reading order."""

    width: int
    height: int
    blocks: list[Block] = field(default_factory=list)
    strokes: list[Stroke] = field(default_factory=list)

    @property
    def lines(self) -> list[Line]:
        return [line for block in self.blocks for line in block.lines]

    @property
    def text(self) -> str:
        """What is written on the page, line for line, blocks apart by a blank line."""
        return self._joined(block.text for block in self.blocks)

    @property
    def markdown(self) -> str:
        """The same as Markdown: paragraphs in one line, headings, lists, HTML tables."""
        return self._joined(block.markdown for block in self.blocks)

    def regions(self) -> tuple[Region, ...]:
        """One region a line, in reading order."""
        return tuple(
            Region(label=block.label, box=line.box, text=line.text)
            for block in self.blocks
            for line in block.lines
        )

    def _joined(self, texts: Iterable[str]) -> str:
        joined = ""
        for block, text in zip(self.blocks, texts, strict=True):
            gap = "\n" if block.close else "\n\n"
            joined += (gap if joined else "") + text
        return joined


def union(boxes: Iterable[Box]) -> Box:
    """The smallest box around `boxes`."""
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return (min(lefts), min(tops), max(rights), max(bottoms))
