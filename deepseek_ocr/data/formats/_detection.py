"""How sure a reader is that a folder has its shape."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Detection:
    """`score` in 0..1: the share of the pictures that the reader expects to explain.

    1 is kept for shapes that cannot be mistaken; `reason` says what was seen.
    """

    score: float
    reason: str


def counted(number: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
