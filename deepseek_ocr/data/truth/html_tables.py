"""Tables as HTML, the form in which the model writes them: `<table><tr><td>...</td></tr></table>`.

Only `<table>`, `<tr>` and `<td>` are written, for headers too: `<td>` and `</td>` are tokens of
the model, `<th>` is not. White space in a cell means as little as in HTML: a run is one blank.
"""

from __future__ import annotations

import html
import re
from collections import defaultdict

from .html_tokens import Tag, html_tokens
from .structures import Cell, Table

MAX_PLACES = 100_000
"""Rows times columns of the largest table that is written: a span is a number anyone can type."""

MAX_CELLS = 50_000  # of a table that is read

_MAX_SPAN = 1000  # as in HTML; https://html.spec.whatwg.org/multipage/tables.html
_BLOCKS = frozenset({"br", "p", "div", "li"})  # what begins a new line in a cell


def covering_cells(table: Table) -> list[list[Cell | None]]:
    """For each place, row by row, the cell that covers it; None where there is none.

    Raises:
        ValueError: the table has more than `MAX_PLACES`, or two cells cover one place.
    """
    num_rows = max((cell.row + cell.row_span for cell in table.cells), default=0)
    num_columns = max((cell.column + cell.column_span for cell in table.cells), default=0)
    if num_rows * num_columns > MAX_PLACES:
        raise ValueError(
            f"a table of {num_rows} rows and {num_columns} columns; "
            f"expected at most {MAX_PLACES} places"
        )
    rows: list[list[Cell | None]] = [[None] * num_columns for _ in range(num_rows)]
    for cell in table.cells:
        for row, column in _places(cell):
            if rows[row][column] is not None:
                raise ValueError(f"two cells cover row {row}, column {column} (from 0)")
            rows[row][column] = cell
    return rows


def table_html(table: Table) -> str:
    """A table -> HTML in one line; places that no cell covers become empty cells.

    Raises:
        ValueError: as `covering_cells`.
    """
    rows = []
    for row, cells in enumerate(covering_cells(table)):
        written = [
            _cell_html(cell) if cell else "<td></td>"
            for column, cell in enumerate(cells)
            if cell is None or (cell.row, cell.column) == (row, column)
        ]
        rows.append(f"<tr>{''.join(written)}</tr>")
    return f"<table>{''.join(rows)}</table>"


def parse_table(markup: str) -> Table | None:
    """The first table of a piece of HTML, with the tables inside it as text.

    None without any, or for one of more than `MAX_CELLS` cells. Never raises; markup inside a cell
    is dropped, its text kept.
    """
    parser = _TableParser()
    for token in html_tokens(markup):
        if isinstance(token, str):
            parser.text(token)
        elif token.is_end:
            parser.end(token.name)
        else:
            parser.start(token)
    parser.end_cell()
    usable = parser.found and len(parser.cells) <= MAX_CELLS
    return Table(cells=tuple(parser.cells)) if usable else None


def _places(cell: Cell) -> list[tuple[int, int]]:
    rows = range(cell.row, cell.row + cell.row_span)
    columns = range(cell.column, cell.column + cell.column_span)
    return [(row, column) for row in rows for column in columns]


def _cell_html(cell: Cell) -> str:
    spans = (("rowspan", cell.row_span), ("colspan", cell.column_span))
    attributes = "".join(f' {name}="{span}"' for name, span in spans if span > 1)
    text = html.escape(" ".join(cell.text.split()), quote=False)
    return f"<td{attributes}>{text}</td>"


class _TableParser:
    """Cells of the first table, placed as a browser places them."""

    def __init__(self) -> None:
        self.found = False
        self.cells: list[Cell] = []
        self._depth = 0  # of tables; the first one is 1
        self._ended = self._in_head = False
        self._row, self._column = -1, 0
        self._free_from: dict[int, int] = defaultdict(int)  # column -> first row below its spans
        self._open: tuple[int, int, bool] | None = None  # row span, column span, is header
        self._text: list[str] = []

    def start(self, token: Tag) -> None:
        tag = token.name
        if tag == "table":
            self._depth += not self._ended
            self.found = True
        elif self._ended or not self._depth:
            return
        elif self._depth > 1:
            self._text.append(" ")
        elif tag in ("thead", "tbody", "tfoot"):
            self._in_head = tag == "thead"
        elif tag == "tr":
            self.end_cell()
            self._row, self._column = self._row + 1, 0
        elif tag in ("td", "th"):
            self.end_cell()
            self._row = max(self._row, 0)
            rows, columns = (_span(token.attributes.get(n, "")) for n in ("rowspan", "colspan"))
            self._open = (rows, columns, tag == "th" or self._in_head)
        elif tag in _BLOCKS:
            self._text.append("\n")

    def end(self, tag: str) -> None:
        if self._depth > 1:
            self._text.append(" ")
            self._depth -= tag == "table"
        elif tag == "table" and self._depth:
            self.end_cell()
            self._ended = True
            self._depth = 0
        elif self._depth == 1 and tag in ("td", "th", "tr"):
            self.end_cell()
        elif self._depth == 1 and tag == "thead":
            self._in_head = False

    def text(self, data: str) -> None:
        if self._open is not None:
            self._text.append(data)

    def end_cell(self) -> None:
        """Place the cell that is open, if one is."""
        if self._open is None or len(self.cells) > MAX_CELLS:
            return
        row_span, column_span, is_header = self._open
        while self._free_from[self._column] > self._row:
            self._column += 1
        free = 1  # a span ends where a cell from above stands
        while free < column_span and self._free_from[self._column + free] <= self._row:
            free += 1
        lines = (" ".join(line.split()) for line in "".join(self._text).split("\n"))
        self.cells.append(
            Cell(
                row=self._row,
                column=self._column,
                text="\n".join(line for line in lines if line),
                row_span=row_span,
                column_span=free,
                is_header=is_header,
            )
        )
        for column in range(self._column, self._column + free):
            self._free_from[column] = self._row + row_span
        self._column += free
        self._open, self._text = None, []


def _span(written: str) -> int:
    match = re.match(r"\s*(\d{1,6})", written)
    return max(1, min(int(match[1]), _MAX_SPAN)) if match else 1
