"""A model's raw answer -> its parts: blocks in reading order, and regions with boxes on the page.

Two shapes occur. Asked for a document, the model writes what a part is, where, and its text below:

    <|ref|>title<|/ref|><|det|>[[61, 40, 512, 73]]<|/det|>
    # Annual report

Asked for the text, or for where something is, it writes that itself, and nothing below:

    <|ref|>TOTAL 12.50<|/ref|><|det|>[[61, 40, 512, 73]]<|/det|>

The boxes are read by the scanner that reads training data (`data.truth.grounding`): numbers of up
to three digits between brackets, nothing is evaluated, in time that grows with the length alone.
An answer without boxes is one block.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ..data.truth.grounding import MAX_REGIONS, Grounded, find_grounded
from .characters import harmless
from .regions import LAYOUT_LABELS, MAX_LABEL, Box, Region, Size, page_box

AnswerKind = Literal["layout", "lines", "located"]
"""`layout`: labels name parts of a document; `lines`: they are its lines of text themselves;
`located`: they are what was asked for."""

_ASKS_FOR_LINES = re.compile(r"<\|grounding\|>\s*OCR\b")
_ASKS_FOR_PLACE = re.compile(r"\bLocate\s+<\|ref\|>")
_LEFT_OVER = re.compile(
    r"<\|det\|>[\s\d,.\[\]-]*+(?:<\|/det\|>)?|<\|/?(?:ref|det|grounding)\|>|<｜[^｜<>\n]{1,40}｜>"
)
_CUT_OFF = re.compile(
    r"<\|ref\|>[^<\n]{0,200}+(?:<\|/ref\|>\s{0,9}(?:<\|det\|>[\s\d,.\[\]-]{0,9999}+)?)?(?:<[^<>\n]{0,9})?\Z"
)
_CUT_TAG = re.compile(r"<\|/?(?:r|re|ref|d|de|det)?\|?\Z")


@dataclass(frozen=True, kw_only=True)
class Block:
    """A part of an answer: `label` and `boxes` (page pixels) as the model gave them, and its text.

    Both are empty where the text stands before the first box, or there is no box at all.
    """

    label: str
    boxes: tuple[Box, ...]
    text: str


@dataclass(frozen=True, kw_only=True)
class ParsedAnswer:
    """An answer about a page of `size`, in reading order.

    `regions` has one for every box, `blocks` every text.
    """

    kind: AnswerKind
    size: Size
    blocks: tuple[Block, ...]
    regions: tuple[Region, ...]


def parse_answer(text: str, size: Size, *, prompt: str = "") -> ParsedAnswer:
    """The blocks and regions of an answer about a page of `size`; never raises.

    `prompt` decides where the answer alone does not show whether its labels are texts. Of several
    boxes of a label each is a region, the first has the text. Boxes beyond `MAX_REGIONS` are left
    out, and so are those that are none; no text is.
    """
    parts = list(find_grounded(text))
    kind = _kind(text, parts, prompt)
    blocks = tuple(_blocks(text, parts, kind, size))
    regions = tuple(_regions(blocks, kind))
    return ParsedAnswer(kind=kind, size=size, blocks=blocks, regions=regions)


def shown_text(block: Block) -> str:
    """The text of a block; a label that is none of ours and has nothing below is a text itself."""
    if block.text or block.label.lower() in LAYOUT_LABELS:
        return block.text
    return block.label


def answer_lines(answer: ParsedAnswer) -> Iterator[str]:
    """The lines of an answer whose labels are texts."""
    for block in answer.blocks:
        yield from (block.label or block.text).split("\n")


def located_lines(answer: ParsedAnswer) -> Iterator[str]:
    """What was found and where, a line each: `label: x1, y1, x2, y2`; then what else was said."""
    for block in answer.blocks:
        for box in block.boxes:
            yield f"{block.label}: {', '.join(map(str, box))}"
        if not block.boxes:
            yield block.label or block.text


def _kind(text: str, parts: Sequence[Grounded], prompt: str) -> AnswerKind:
    if not parts or any(_below(text, parts, "layout")):
        return "layout"
    if _ASKS_FOR_PLACE.search(prompt):
        return "located"
    if _ASKS_FOR_LINES.search(prompt):
        return "lines"
    named = all(part.label.strip().lower() in LAYOUT_LABELS for part in parts)
    return "layout" if named else "lines"


def _below(text: str, parts: Sequence[Grounded], kind: AnswerKind) -> Iterator[str]:
    """The text that follows each part, up to the next; behind the last one what it breaks off in is
    no text."""
    for part, following in itertools.pairwise(parts):
        yield _cleaned(text[part.end : following.start])
    if parts:
        yield _cleaned(_without_cut_off(text[parts[-1].end :], kind))


def _blocks(text: str, parts: Sequence[Grounded], kind: AnswerKind, size: Size) -> Iterator[Block]:
    room = MAX_REGIONS
    before = text[: parts[0].start] if parts else _without_cut_off(text, kind)
    if before := _cleaned(before):
        yield Block(label="", boxes=(), text=before)
    for part, below in zip(parts, _below(text, parts, kind), strict=True):
        grid_boxes = part.boxes[:room]
        room -= len(grid_boxes)
        boxes = tuple(page_box(box, size) for box in grid_boxes)
        label = harmless(part.label).strip()
        yield Block(label=label, boxes=boxes, text=below if kind == "layout" else "")
        if kind != "layout" and below:  # a line that was cut off
            yield Block(label="", boxes=(), text=below)


def _regions(blocks: Sequence[Block], kind: AnswerKind) -> Iterator[Region]:
    for block in blocks:
        label, text = ("", block.label) if kind == "lines" else (block.label, block.text)
        for box in block.boxes:
            yield Region(label=label[:MAX_LABEL], box=box, text=text)
            text = ""


def _without_cut_off(text: str, kind: AnswerKind) -> str:
    """The end of an answer without the label, box or tag in which it breaks off.

    A label that is a text of the page stays.
    """
    if kind == "layout" and (cut := _CUT_OFF.search(text)):
        text = text[: cut.start()]
    return _CUT_TAG.sub("", text)


def _cleaned(text: str) -> str:
    """A text without tags that belong to no box."""
    return harmless(_LEFT_OVER.sub("", text)).strip("\n").rstrip()
