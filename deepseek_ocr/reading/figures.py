"""Figures cut out of their page."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from PIL import Image

from .markup import Block, ParsedAnswer
from .regions import FIGURE_LABELS, Box, Size

MAX_FIGURES = 200
MOST_OF_PAGE = 4
"""Figures of a page, and their areas in page areas. A model in a loop can name thousands, each as
large as the page; what is beyond is neither cut out nor linked."""


def figure_name(number: int | None, place: int) -> str:
    """Page 1, figure 2 of it -> `p0001-2.png`."""
    return f"p{number or 0:04d}-{place}.png"


def is_figure(block: Block) -> bool:
    """Whether the block is shown as a picture, cut out of the page."""
    return block.label.lower() in FIGURE_LABELS


def figure_boxes(answer: ParsedAnswer) -> list[Box]:
    """The boxes of a page's figures, in page pixels; the first is figure 1."""
    if answer.kind != "layout":
        return []
    boxes = [box for block in answer.blocks if is_figure(block) for box in block.boxes]
    areas = itertools.accumulate((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in boxes)
    room = MOST_OF_PAGE * answer.size[0] * answer.size[1]
    count = sum(1 for area in areas if area <= room)
    return boxes[: min(count, MAX_FIGURES)]


def cut_figures(
    answer: ParsedAnswer, picture: Image.Image, *, number: int | None = 1
) -> Iterator[tuple[str, Image.Image]]:
    """The figures of page `number`, of which `picture` is the page as read, and their file names.

    Raises:
        ValueError: the picture is smaller than the boxes say.
    """
    for place, box in enumerate(figure_boxes(answer), start=1):
        check_inside(box, picture.size)
        yield figure_name(number, place), picture.crop(box)


def blocks_with_figures(
    answer: ParsedAnswer, number: int | None
) -> Iterator[tuple[Block, list[str]]]:
    """The blocks of page `number`, each with the names of the figures that stand in it."""
    names = (figure_name(number, place) for place, _ in enumerate(figure_boxes(answer), start=1))
    for block in answer.blocks:
        count = len(block.boxes) if is_figure(block) else 0
        yield block, list(itertools.islice(names, count))


def check_inside(box: Box, size: Size) -> None:
    """Raises ValueError where a box leaves a page of that size."""
    if box[2] > size[0] or box[3] > size[1]:
        raise ValueError(f"the box {box} leaves a page of {size[0]} x {size[1]} pixels")
