"""Truth with a shape of its own: tables, forms, formulas, paragraphs with labels.

A reader gives them as `Annotation.structure` where its format tells them, beside the text; a target
(`data.truth.targets`) turns them into the answer that a model learns.
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeAlias


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TextBlock:
    """Text of one part of a page; `label` as the dataset calls it (`title`, `list`, ...), or ""."""

    text: str
    label: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Formula:
    """LaTeX without delimiters."""

    latex: str


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """A cell of a table; `row` and `column` of its first corner count from 0."""

    row: int
    column: int
    text: str
    row_span: int = 1
    column_span: int = 1
    is_header: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Cells in the order of rows, then columns."""

    cells: tuple[Cell, ...]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Fields:
    """Keys and values, nested as in the dataset: a JSON value."""

    value: Any


Block: TypeAlias = TextBlock | Formula | Table | Fields
