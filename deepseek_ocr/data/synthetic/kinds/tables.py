"""A heading and a grid of cells."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from .. import content, words
from ..layout import Layout, Stroke
from ..request import Kind, PageRequest
from ..sheet import Align, Cell, Sheet


@dataclass(frozen=True)
class Column:
    """A column by its header: what stands in it, how it is aligned, its share of the width."""

    name: str
    make: Callable[[random.Random], str]
    align: Align
    share: float


WORD_COLUMNS = (
    Column("Name", content.person, "left", 2.2),
    Column("Item", content.goods, "left", 2.0),
    Column("Town", content.town, "left", 1.5),
    Column("Date", content.iso_date, "left", 1.5),
)
FIGURE_COLUMNS = (
    Column("Code", lambda rng: content.letters(rng, 2) + content.digits(rng, 3), "left", 1.0),
    Column("Unit", lambda rng: rng.choice(content.UNITS), "left", 0.7),
    Column("Qty", lambda rng: str(rng.randint(1, 99)), "right", 0.7),
    Column("Price", lambda rng: content.money(content.amount(rng, 900)), "right", 1.2),
    Column("Share", lambda rng: f"{rng.uniform(0, 100):.1f}%", "right", 1.0),
    Column("Year", lambda rng: str(rng.randint(1850, 2049)), "right", 0.8),
    Column("Time", content.clock, "right", 0.9),
    Column("Mean", lambda rng: f"{rng.uniform(-20, 20):.2f}", "right", 1.0),
)


def lay_out(request: PageRequest) -> Layout:
    """Heading, perhaps a sentence, the grid; ruled fully, between rows, or not at all."""
    rng = request.rng
    sheet = request.sheet(request.style(margin=(0.04, 0.08)))
    head = sheet.type(rng.uniform(1.2, 1.6), bold=True, accent=True)
    sheet.title(sheet.fitting(lambda: words.heading(rng), head), head)
    if rng.random() < 0.5:
        sheet.skip(0.4)
        sheet.paragraph(words.sentence(rng))
    sheet.skip(0.7)
    columns = choose_columns(rng, most=2 + request.size // 300)
    sheet.right -= rng.choice((0, 0, 0.1, 0.25)) * (sheet.right - sheet.left)
    spare = min(sheet.room() - 3, sheet.characters_left // (9 * len(columns)))
    draw_table(sheet, columns, max(1, min(rng.randint(2, 12), spare)))
    if rng.random() < 0.4:
        sheet.skip(0.5)
        sheet.paragraph(words.sentence(rng), sheet.type(0.9, italic=True))
    sheet.crop()
    return sheet.layout


def choose_columns(rng: random.Random, most: int) -> list[Column]:
    """Two to five columns, `most` at the most: one of words first, figures last."""
    first, *others = rng.sample(WORD_COLUMNS, len(WORD_COLUMNS))
    others = rng.sample([*others, *FIGURE_COLUMNS], min(rng.randint(1, 4), most - 1))
    return [first, *sorted(others, key=lambda column: column.align == "right")]


def draw_table(sheet: Sheet, columns: Sequence[Column], num_rows: int) -> None:
    """Header and up to `num_rows` rows across the sheet, as one block."""
    while len(columns) > 2 and not _headers_fit(sheet, columns):
        columns = columns[:-1]
    lines, row_ends = [], [sheet.y]
    gap = sheet.rng.choice((0.0, 0.1, 0.2))  # above and below each row, in body lines
    for number in range(num_rows + 1):
        sheet.skip(gap)
        line = sheet.line(_row(sheet, columns, is_header=number == 0))
        if line is None:
            break
        sheet.skip(gap)
        lines.append(line)
        row_ends.append(sheet.y)
    sheet.table(lines, [[run.text for run in line.runs] for line in lines])
    ruling = sheet.rng.choice(("grid", "rows", "header", "none"))
    if lines and ruling != "none":
        inner = {"grid": row_ends, "rows": row_ends[1:], "header": row_ends[1:2]}[ruling]
        _rule(sheet, inner, _edges(sheet, columns) if ruling == "grid" else [])


def _row(sheet: Sheet, columns: Sequence[Column], *, is_header: bool) -> list[Cell]:
    pad, type = _pad(sheet), sheet.type(bold=is_header)
    cells = []
    for column, (left, right) in zip(columns, pairwise(_edges(sheet, columns)), strict=True):
        make = partial(column.make, sheet.rng)
        text = column.name if is_header else sheet.fitting(make, type, right - left - 2 * pad)
        cells.append(Cell(text, left + pad, right - pad, column.align, type))
    return cells


def _headers_fit(sheet: Sheet, columns: Sequence[Column]) -> bool:
    room = [right - left - 2 * _pad(sheet) for left, right in pairwise(_edges(sheet, columns))]
    return all(sheet.room_for(c.name) < width for c, width in zip(columns, room, strict=True))


def _pad(sheet: Sheet) -> float:
    return 0.35 * sheet.style.body_px


def _edges(sheet: Sheet, columns: Sequence[Column]) -> list[float]:
    """x of the columns' borders, one more than there are columns."""
    width, all_shares = sheet.right - sheet.left, sum(column.share for column in columns)
    edges = [sheet.left]
    for column in columns:
        edges.append(edges[-1] + width * column.share / all_shares)
    return edges


def _rule(sheet: Sheet, ys: Sequence[float], xs: Sequence[float]) -> None:
    """Lines across the sheet at `ys`, and between the first and the last of them at `xs`."""
    px = 1 if sheet.style.body_px < 18 else 2
    left, right = round(sheet.left), round(sheet.right) + px
    boxes = [(left, round(y), right, round(y) + px) for y in ys]
    boxes += [(round(x), round(ys[0]), round(x) + px, round(ys[-1])) for x in xs]
    sheet.layout.strokes += [Stroke(box, sheet.style.ink) for box in boxes]


KIND = Kind("tables", lay_out, smallest_size=320)
