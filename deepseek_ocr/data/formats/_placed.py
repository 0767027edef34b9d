"""Rows that a reference names in another way than by their line."""

from __future__ import annotations

import dataclasses

from ..json_files.rows import Row
from ._unusable import Unusable


@dataclasses.dataclass(frozen=True, slots=True)
class PlacedRow(Row):
    """A row whose `part` of the file is no line: `row=7`, or "" where no reference can name it."""

    part: str = ""


def part_of(row: Row) -> str:
    """How a reference names a row within its file, for the pictures that the row carries.

    Raises:
        Unusable: no reference can.
    """
    part = row.part if isinstance(row, PlacedRow) else f"line={row.line}"
    if not part:
        reason = "a picture inside this kind of file cannot be read; save it as a file and name it"
        raise Unusable("embedded picture", reason)
    return part
