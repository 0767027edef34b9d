"""Many pages on one picture, each with its boxes and what is known of it: to look at a dataset."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Sequence

from PIL import Image, ImageDraw

from .lettering import ending, font, wrapped

CELL_WIDTH = 440  # pixels
MOST_UPRIGHT = 1.3  # height of a picture over the width of its cell
MARGIN, LINE_HEIGHT, TEXT_SIZE, LABEL_SIZE = 14, 18, 14, 11
MOST_COLUMNS = 4
MOST_CELLS = 100  # as many as one can look at; the sheet is in memory
MOST_ENLARGED = 2.0
MAX_LINES = 7
MOST_TEXT = 2000  # characters that are looked at; no more of them fit
PAPER, INK, FAINT, FRAME = (250, 250, 250), (20, 20, 20), (110, 110, 110), (190, 190, 190)
COLOURS = (
    (214, 39, 40),
    (31, 119, 180),
    (44, 160, 44),
    (148, 103, 189),
    (255, 127, 14),
    (23, 190, 207),
    (227, 119, 194),
    (140, 86, 75),
)
"""Of boxes: one for each label, in the order in which labels appear."""

Box = tuple[float, float, float, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """One page: `boxes` are (label, (x1, y1, x2, y2) in its pixels); `title` one line."""

    page: Image.Image
    title: str
    text: str = ""
    boxes: Sequence[tuple[str, Box]] = ()


def contact_sheet(cells: Iterable[Cell], cell_width: int = CELL_WIDTH) -> Image.Image:
    """The cells row by row; pages are shrunk as they come, so that only one is held whole."""
    drawn = [_drawn(cell, cell_width) for cell in cells]
    columns = min(MOST_COLUMNS, max(1, math.ceil(math.sqrt(len(drawn)))))
    rows = [drawn[i : i + columns] for i in range(0, len(drawn), columns)]
    width = MARGIN + columns * (cell_width + MARGIN)
    height = MARGIN + sum(max(cell.height for cell in row) + MARGIN for row in rows)
    sheet = Image.new("RGB", (width, height), PAPER)
    y = MARGIN
    for row in rows:
        for column, cell in enumerate(row):
            sheet.paste(cell, (MARGIN + column * (cell_width + MARGIN), y))
        y += max(cell.height for cell in row) + MARGIN
    return sheet


def _drawn(cell: Cell, width: int) -> Image.Image:
    """Title, picture with its boxes, text."""
    picture = _fitted(cell, width)
    face = font(TEXT_SIZE)
    text = re.sub(r"\s*\n\s*", "\n", cell.text[:MOST_TEXT].strip())
    lines = wrapped(text, face, width, MAX_LINES) if text else []
    top = LINE_HEIGHT + 4
    height = top + picture.height + 6 + len(lines) * LINE_HEIGHT
    image = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(image)
    bold = font(TEXT_SIZE, bold=True)
    draw.text((0, 0), ending(cell.title, bold, width), fill=INK, font=bold)
    image.paste(picture, (0, top))
    draw.rectangle((0, top, picture.width - 1, top + picture.height - 1), outline=FRAME)
    for number, line in enumerate(lines):
        draw.text((0, top + picture.height + 4 + number * LINE_HEIGHT), line, fill=INK, font=face)
    return image


def _fitted(cell: Cell, width: int) -> Image.Image:
    """The page in the size of a cell, its boxes drawn with lines of one width."""
    page = cell.page
    scale = min(width / page.width, MOST_UPRIGHT * width / page.height, MOST_ENLARGED)
    size = (max(1, round(page.width * scale)), max(1, round(page.height * scale)))
    picture = page.convert("RGB").resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    draw = ImageDraw.Draw(picture)
    colours: dict[str, tuple[int, int, int]] = {}
    before = None
    for label, box in cell.boxes:
        colour = colours.setdefault(label, COLOURS[len(colours) % len(COLOURS)])
        # a box may lie outside the page, or be wrong by much: the frame shows where it leaves
        x1, x2 = (min(max(x * scale, 0), size[0] - 1) for x in (box[0], box[2]))
        y1, y2 = (min(max(y * scale, 0), size[1] - 1) for y in (box[1], box[3]))
        draw.rectangle((min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)), outline=colour)
        if label and label != before:  # not on each of many lines of one kind
            place = (x1 + 1, max(0, y1 - LABEL_SIZE - 2))
            shown = wrapped(label, font(LABEL_SIZE), 160, 1)[0]
            draw.text(place, shown, fill=colour, font=font(LABEL_SIZE))
        before = label
    return picture
