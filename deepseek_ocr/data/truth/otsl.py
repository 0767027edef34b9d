"""Tables in OTSL, as PaddleOCR-VL and Docling write them: `<fcel>a<fcel>b<nl><fcel>c<ecel><nl>`.

A cell is full (`fcel`) or empty (`ecel`), or one that a neighbour covers: the left one (`lcel`),
the upper one (`ucel`) or both (`xcel`). Docling's `ched`, `rhed` and `srow` are cells of headers.
https://arxiv.org/abs/2305.03393
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from .structures import Cell, Table

MAX_CELLS = 1_000_000

_TOKEN = re.compile(r"<(fcel|ecel|lcel|ucel|xcel|ched|rhed|srow|nl)>")
_HEADERS = frozenset({"ched", "rhed", "srow"})
_FULL = _HEADERS | {"fcel", "ecel"}


def parse_otsl(text: str) -> Table | None:
    """The table that a text is; None where it is none or not only one, or where it has holes.

    Never raises.
    """
    first, *pieces = _TOKEN.split(text.strip())
    if first or not pieces or len(pieces) > 2 * MAX_CELLS:
        return None
    rows: list[list[tuple[str, str]]] = [[]]
    for token, said in zip(pieces[::2], pieces[1::2], strict=True):
        if token != "nl":
            rows[-1].append((token, said.strip()))
        elif said.strip():
            return None
        else:
            rows.append([])
    if not rows[-1]:  # the last row ends with <nl>, or does not
        rows.pop()
    if any(len(row) != len(rows[0]) for row in rows):
        return None
    cells = tuple(
        _cell(rows, row, column)
        for row, tokens in enumerate(rows)
        for column, (token, _) in enumerate(tokens)
        if token in _FULL
    )
    covered = [place for cell in cells for place in _places(cell)]
    whole = len(covered) == len(set(covered)) == len(rows) * len(rows[0])
    return Table(cells=cells) if whole else None


def _places(cell: Cell) -> Iterator[tuple[int, int]]:
    for row in range(cell.row, cell.row + cell.row_span):
        for column in range(cell.column, cell.column + cell.column_span):
            yield row, column


def _cell(rows: Sequence[Sequence[tuple[str, str]]], row: int, column: int) -> Cell:
    token, said = rows[row][column]
    right, below = column + 1, row + 1
    while right < len(rows[row]) and rows[row][right][0] == "lcel":
        right += 1
    while below < len(rows) and rows[below][column][0] == "ucel":
        below += 1
    return Cell(
        row=row,
        column=column,
        text=said,
        row_span=below - row,
        column_span=right - column,
        is_header=token in _HEADERS,
    )
