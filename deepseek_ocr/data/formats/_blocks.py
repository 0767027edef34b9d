"""Pages as blocks of lines: what PAGE-XML, ALTO, hOCR and DocBank have in common.

The text of a page is its lines, each on a line of its own, with a blank line between blocks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

from ..annotations import Region
from ..truth.structures import TextBlock
from ._reading_order import Box

NO_LABEL = "text"


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """A line of text and its box in whatever frame the dataset has, None where it tells none.

    `label` is what the dataset calls the line, or "": then it is called as its block.
    """

    text: str
    box: Box | None = None
    label: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Block:
    """Lines that belong together, in reading order."""

    lines: Sequence[Line]
    label: str = ""

    @property
    def text(self) -> str:
        return "\n".join(line.text for line in self.lines)


def without_blank_lines(blocks: Iterable[Block]) -> list[Block]:
    """The blocks with their lines that hold text, less those that have none."""
    kept = (
        dataclasses.replace(block, lines=[line for line in block.lines if line.text.strip()])
        for block in blocks
    )
    return [block for block in kept if block.lines]


def page_text(blocks: Iterable[Block]) -> str:
    return "\n\n".join(block.text for block in blocks)


def structure_of(blocks: Iterable[Block]) -> tuple[TextBlock, ...]:
    """A block of text for each."""
    return tuple(TextBlock(text=block.text, label=block.label) for block in blocks)


def regions_of(blocks: Iterable[Block], width: float = 0, height: float = 0) -> tuple[Region, ...]:
    """A region a line that has a box, in shares of the page where its size is told in the frame of
    the boxes."""
    return tuple(
        Region(
            label=line.label or block.label or NO_LABEL,
            box=_share(line.box, width, height) if width and height else line.box,
            text=line.text,
        )
        for block, line in _lines(blocks)
        if line.box is not None
    )


def one_line(text: str) -> str:
    """Text of a line: a line break inside it is the layout of the file, not of the page."""
    return " ".join(part for part in text.splitlines() if part.strip()) if "\n" in text else text


def box_around_all(boxes: Iterable[Box | None]) -> Box | None:
    """The smallest box around all that are there; None without any."""
    known = [box for box in boxes if box is not None]
    if not known:
        return None
    lefts, tops, rights, bottoms = zip(*known, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def _lines(blocks: Iterable[Block]) -> Iterator[tuple[Block, Line]]:
    return ((block, line) for block in blocks for line in block.lines)


def _share(box: Box, width: float, height: float) -> Box:
    x1, y1, x2, y2 = box
    return x1 / width, y1 / height, x2 / width, y2 / height
