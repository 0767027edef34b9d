"""Tables of an answer (Markdown or HTML) as graphs of cells: who stands beside and above whom.

A cell is named by the (row, column) where it begins; one with spans has several neighbours on a
side. Rules of github.com/allenai/olmocr, `olmocr/bench/table_parsing.py` (as of 2026, Apache-2.0),
written anew, with a limit on size: spans come from a model, and `colspan="99999999"` must not fill
the memory. Spans that overlap, at which the published code may stop, are taken as far as they go.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal

Place = tuple[int, int]
"""Row and column where a cell begins, from 0."""

Side = Literal["up", "down", "left", "right"]

MAX_PLACES = 20_000
"""Most rows x columns of a grid; a larger one is no table that a page could hold."""

MAX_DEPTH = 8
"""Tables within tables within ...; deeper ones are a loop of the model."""

_STEPS: dict[Side, Place] = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
_RULE = re.compile(r"[- :|]+")


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell as written: its text, the rows and columns it spans, whether it is a heading."""

    text: str
    rows: int = 1
    columns: int = 1
    is_heading: bool = False


class Grid:
    """The cells of one table, each with its neighbours."""

    def __init__(self, cells: dict[Place, Cell], slots: list[list[Place | None]]):
        self.cells = cells
        self._slots = slots  # (row, column) -> the cell that covers it

    def mapped(self, change: Callable[[str], str]) -> Grid:
        """The same grid with other texts."""
        cells = {
            place: dataclasses.replace(cell, text=change(cell.text))
            for place, cell in self.cells.items()
        }
        return Grid(cells, self._slots)

    def neighbours(self, place: Place, side: Side) -> set[Place]:
        """The nearest cells on one side, one for each row or column that the cell spans."""
        step_row, step_column = _STEPS[side]
        found = set()
        for row, column in self._edge(place, side):
            row, column = row + step_row, column + step_column
            while 0 <= row < len(self._slots) and 0 <= column < len(self._slots[0]):
                other = self._slots[row][column]
                if other is not None and other != place:
                    found.add(other)
                    break
                row, column = row + step_row, column + step_column
        return found

    def headings(self, place: Place, side: Literal["up", "left"]) -> set[Place]:
        """The headings that one meets walking that way; where there are none, the last cells."""
        headings, ends, seen, ahead = set(), set(), set(), {place}
        while ahead:
            here = ahead.pop()
            seen.add(here)
            further = self.neighbours(here, side)
            if self.cells[here].is_heading:
                headings.add(here)
            if not further:
                ends.add(here)
            ahead |= further - seen
        return (headings - {place}) or (ends - {place})

    def _edge(self, place: Place, side: Side) -> Iterable[Place]:
        row, column = place
        cell = self.cells[place]
        last_row, last_column = row + cell.rows - 1, column + cell.columns - 1
        if side in ("left", "right"):
            edge = column if side == "left" else last_column
            return [(r, edge) for r in range(row, last_row + 1)]
        edge = row if side == "up" else last_row
        return [(edge, c) for c in range(column, last_column + 1)]


def markdown_grids(markdown: str) -> list[Grid]:
    """Tables: two or more neighbouring lines with a `|`; first row and column are headings."""
    grids = []
    for lines in _runs_with_bars(markdown.strip().split("\n")):
        rows = [cells for cells in map(_cells_of_line, _without_rules(lines)) if cells]
        written = [
            [Cell(text, is_heading=not row or not column) for column, text in enumerate(cells)]
            for row, cells in enumerate(rows)
        ]
        grid = build_grid(written)
        if grid is not None:
            grids.append(grid)
    return grids


def html_grids(html: str) -> list[Grid]:
    """The `<table>` elements; `<th>` and all cells of `<thead>` are headings."""
    if "<table" not in html.lower():
        return []
    from bs4 import BeautifulSoup  # takes a while to import

    soup = BeautifulSoup(html, "html.parser")
    cells_of = {id(row): _html_cells(row) for row in soup.find_all("tr")}
    grids = []
    for table in soup.find_all("table"):
        if len(table.find_parents("table", limit=MAX_DEPTH)) == MAX_DEPTH:
            continue
        rows = [cells_of[id(row)] for row in table.find_all("tr")]
        grid = build_grid([_to_the_end(row, len(rows) - n) for n, row in enumerate(rows)])
        if grid is not None:
            grids.append(grid)
    return grids


def build_grid(rows: Sequence[Sequence[Cell]]) -> Grid | None:
    """Cells as written, row by row -> the grid; None without cells or beyond `MAX_PLACES`.

    A cell whose rows reach below the last line makes the rows that it needs; one that spans columns
    covers what hangs into them from above.
    """
    cells: dict[Place, Cell] = {}
    slots: list[list[Place | None]] = []
    hanging: dict[int, tuple[Place, int]] = {}  # column -> cell from above, rows still to cover
    width = 0
    for written in itertools.chain(rows, itertools.repeat(())):
        if len(slots) >= len(rows) and not hanging:
            break
        row: list[Place | None] = []
        to_place = iter(written)
        while True:
            column = len(row)
            if column in hanging:
                row.append(_let_down(hanging, column))
            elif (cell := next(to_place, None)) is not None:
                place = (len(slots), column)
                width = max(width, column + cell.columns)
                if width * (len(slots) + cell.rows) > MAX_PLACES:
                    return None
                cells[place] = cell
                row += [place] * cell.columns
                for covered in range(column, len(row)):
                    hanging.pop(covered, None)
                    if cell.rows > 1:
                        hanging[covered] = (place, cell.rows - 1)
            elif column < width:
                row.append(None)
            else:
                break
        slots.append(row)
    for row in slots:
        row.extend([None] * (width - len(row)))
    return Grid(cells, slots) if cells else None


def _let_down(hanging: dict[int, tuple[Place, int]], column: int) -> Place:
    """The cell that hangs into a column, one row further down."""
    place, rows = hanging.pop(column)
    if rows > 1:
        hanging[column] = (place, rows - 1)
    return place


def _runs_with_bars(lines: Iterable[str]) -> Iterator[list[str]]:
    """Neighbouring lines that hold a `|`, where there are at least two."""
    for has_bar, run in itertools.groupby(lines, key=lambda line: "|" in line):
        found = list(run)
        if has_bar and len(found) > 1:
            yield found


def _without_rules(lines: Iterable[str]) -> list[str]:
    """The lines but those made of dashes, colons, bars and blanks, such as `|---|:-:|`."""
    return [line for line in lines if not _RULE.fullmatch(line.strip())]


def _cells_of_line(line: str) -> list[str]:
    """`| a | b |` -> ["a", "b"]; the empty ends that outer bars make are none."""
    cells = [cell.strip() for cell in line.split("|")]
    if cells[0] == "":
        del cells[0]
    if cells and cells[-1] == "":
        del cells[-1]
    return cells


def _html_cells(row: Any) -> list[Cell]:
    """The `<td>` and `<th>` of a `<tr>`; 0 rows mean that it reaches to the table's end."""
    in_head = row.find_parent("thead") is not None
    cells = []
    for cell in row.find_all(["th", "td"], recursive=False):
        for line_break in cell.find_all("br"):
            line_break.replace_with("\n")
        rows = cell.get("rowspan")
        cells.append(
            Cell(
                cell.get_text().strip(),
                rows=0 if str(rows).strip() == "0" else _span(rows),
                columns=_span(cell.get("colspan")),
                is_heading=cell.name == "th" or in_head,
            )
        )
    return cells


def _to_the_end(row: Iterable[Cell], rows_left: int) -> list[Cell]:
    return [cell if cell.rows else dataclasses.replace(cell, rows=rows_left) for cell in row]


def _span(written: Any) -> int:
    """A span as a model wrote it; 1 where that is no number above 0."""
    try:
        return max(1, int(written))
    except (TypeError, ValueError):
        return 1
