"""One page of the outcome: what the journal, the writers and the Python interface share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .regions import Region

STATUSES = ("ok", "empty", "failed", "truncated", "repetition")
"""How reading a page ends; those of `inference.results.Status`."""
BAD = ("failed", "truncated", "repetition")
"""The ends that a user is told of."""


@dataclass(frozen=True, kw_only=True)
class ReadPage:
    """A page as it was read.

    `number` counts from 1; None: the document as a whole, which could not be opened. `status` is
    `ok`, `empty`, `failed`, `truncated` or `repetition`, `reason` says why where it is not well.
    `text` is the model's raw answer, `markdown` what it says. `width` and `height` are the page's
    in pixels (0 where it could not be opened), in which the boxes of `regions` are given; it was
    `turned` by so many degrees clockwise to be read. `attempts` counts how often it was asked,
    `seconds` is its share of the batch's time.
    """

    number: int | None
    status: str
    reason: str = ""
    text: str = ""
    markdown: str = ""
    width: int = 0
    height: int = 0
    turned: int = 0
    regions: tuple[Region, ...] = ()
    prompt: str = ""
    mode: str = ""
    attempts: int = 1
    num_tokens: int = 0
    seconds: float = 0.0
