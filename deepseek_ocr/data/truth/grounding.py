"""Boxes as the model writes them: `<|ref|>label<|/ref|><|det|>[[x1, y1, x2, y2]]<|/det|>`.

Coordinates are whole numbers on a grid from 0 to 999 over the page, whatever its shape: a pixel x
of a page W wide is `round(999 x / W)`, and back `x W / 999`. A region with a label of its own has
its text below; a line of text without a label is itself what stands in `<|ref|>`, as the model
answers to "OCR this image".

What is parsed comes from a model and may be anything: it is never evaluated, only scanned, in time
that grows with its length alone.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..annotations import Annotation, Region
from ..problems import Problem

GRID = 999
MAX_REGIONS = 10_000  # of an answer; the densest newspaper page has some thousand lines
MAX_BOXES_LENGTH = 8_192  # characters between <|det|> and <|/det|>; some four hundred boxes
BOX_MARK = "<bbox>"  # of ms-swift, in a text: the next of the row's boxes
TAGS = ("<|ref|>", "<|/ref|>", "<|det|>", "<|/det|>")

Box = tuple[float, float, float, float]
GridBox = tuple[int, int, int, int]


_BOX_MARKS = re.compile(f"(?:{BOX_MARK})+")
_TAG = re.compile(r"<\|/?(?:ref|det)\|>")
_BOX = re.compile(r"\[{0}{1}{0},{0}{1}{0},{0}{1}{0},{0}{1}{0}\]".format(r"\s{0,9}", "([0-9]{1,3})"))
_AFTER_BLOCK = "  \n\n"  # as the published model ends one


class Grounded(NamedTuple):
    """What stands in `<|ref|>` and the boxes in the `<|det|>` right behind it.

    It begins at `start` in the text and ends before `end`.
    """

    label: str
    boxes: tuple[GridBox, ...]
    start: int
    end: int


def to_grounding(box: Box, width: float, height: float) -> GridBox:
    """A box in pixels of a page -> on the grid; what leaves the page ends at its edge."""
    x1, y1, x2, y2 = box
    return (
        _on_grid(x1, width),
        _on_grid(y1, height),
        _on_grid(x2, width),
        _on_grid(y2, height),
    )


def from_grounding(box: GridBox, width: float, height: float) -> Box:
    """A box on the grid -> in pixels of a page, right to half a grid step; not rounded."""
    x1, y1, x2, y2 = box
    return (x1 * width / GRID, y1 * height / GRID, x2 * width / GRID, y2 * height / GRID)


def render_grounding(annotation: Annotation, width: int, height: int) -> Annotation | Problem:
    """A sample of one page, boxes in its pixels -> with its regions as the text to learn."""
    try:
        text = grounding_text(annotation, width, height)
    except ValueError as error:
        kind = "not possible as --target"
        return Problem(kind=kind, source=annotation.source or "", reason=str(error))
    return dataclasses.replace(annotation, text=text)


def grounding_text(annotation: Annotation, width: int, height: int) -> str:
    """The regions of a sample of one page as the model writes them.

    Raises:
        ValueError: no region, several pages, or a region that cannot be told from the tags.
    """
    if not annotation.regions:
        raise ValueError("no regions; --target grounding needs boxes")
    if len(annotation.images) != 1:
        raise ValueError(
            f"{len(annotation.images)} pictures; --target grounding needs one a sample, as the "
            "model's boxes do not say which picture they lie in"
        )
    pieces = []
    for before, region in itertools.pairwise((None, *annotation.regions)):
        assert region is not None
        if before is not None:
            pieces.append(_AFTER_BLOCK if before.label or region.label else "\n")
        pieces.append(_written(region, to_grounding(region.box, width, height)))
    return "".join(pieces)


def fill_box_marks(annotation: Annotation, sizes: Sequence[tuple[int, int]]) -> Annotation:
    """A sample whose texts hold a `<bbox>` for each region -> with their boxes on the grid.

    Boxes are in pixels of the pages, whose `sizes` are (width, height). Marks side by side become
    one list.
    """
    regions = iter(annotation.regions)

    def on_grid(region: Region) -> str:
        return str(list(to_grounding(region.box, *sizes[region.image])))

    def placed(run: re.Match[str]) -> str:
        chosen = itertools.islice(regions, len(run[0]) // len(BOX_MARK))
        return f"<|det|>[{', '.join(map(on_grid, chosen))}]<|/det|>"

    prompt = _BOX_MARKS.sub(placed, annotation.prompt)
    text = _BOX_MARKS.sub(placed, annotation.text)
    return dataclasses.replace(annotation, prompt=prompt, text=text, has_box_marks=False)


def parse_grounding(text: str, width: float, height: float) -> tuple[Region, ...]:
    """The regions of an answer, boxes in pixels of the page; whatever the text is, never raises.

    The label is what stands in `<|ref|>`, the text what follows up to the next. Of several boxes
    of one label each is a region, the first has the text. Boxes that are none (not four numbers
    from 0 to 999, or with an end before the beginning) are left out, and so is all beyond
    `MAX_REGIONS`.
    """
    return tuple(itertools.islice(_regions(text, width, height), MAX_REGIONS))


def _on_grid(pixels: float, side: float) -> int:
    return min(GRID, max(0, round(GRID * pixels / side)))


def _written(region: Region, box: GridBox) -> str:
    for tag in TAGS:
        if tag in region.label or tag in region.text:
            raise ValueError(f"{tag} stands in a region; remove it")
    name = region.label or region.text
    if not name.strip():
        raise ValueError("a region with neither label nor text; give it one of the two")
    x1, y1, x2, y2 = box
    below = f"\n{region.text}" if region.label and region.text else ""
    return f"<|ref|>{name}<|/ref|><|det|>[[{x1}, {y1}, {x2}, {y2}]]<|/det|>{below}"


def find_grounded(text: str) -> Iterator[Grounded]:
    """The parts of an answer that have boxes, in their order; whatever the text is, never raises.

    Boxes that are none (not four numbers from 0 to 999, or with an end before the beginning) are
    left out, and so is what stands beyond `MAX_BOXES_LENGTH`.
    """
    last: deque[re.Match[str]] = deque(maxlen=len(TAGS))
    for tag in _TAG.finditer(text):
        last.append(tag)
        if tag[0] == "<|/det|>" and tuple(match[0] for match in last) == TAGS:
            ref, ref_end, det, det_end = last
            if not text[ref_end.end() : det.start()].strip():
                boxes = text[det.end() : min(det_end.start(), det.end() + MAX_BOXES_LENGTH)]
                label = text[ref.end() : ref_end.start()]
                yield Grounded(label, tuple(_boxes(boxes)), ref.start(), det_end.end())


def _regions(text: str, width: float, height: float) -> Iterator[Region]:
    for label, boxes, _, end in find_grounded(text):
        next_one = text.find("<|ref|>", end)
        below = text[end : next_one if next_one >= 0 else len(text)].removeprefix("\n").rstrip()
        for box in boxes:
            yield Region(label=label.strip(), box=from_grounding(box, width, height), text=below)
            below = ""


def _boxes(text: str) -> Iterator[GridBox]:
    for match in _BOX.finditer(text):
        x1, y1, x2, y2 = map(int, match.groups())
        if x1 <= x2 and y1 <= y2:
            yield x1, y1, x2, y2
