"""What a kind of page is asked to lay out, and what it may choose from."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from .fonts import FontLibrary
from .layout import Colour, Layout
from .sheet import SMALLEST_PX, Sheet, Style

BLACK: Colour = (0, 0, 0)
INKS: tuple[Colour, ...] = (
    BLACK,
    (20, 20, 20),
    (35, 35, 40),
    (55, 50, 50),
    (70, 70, 75),
    (20, 25, 70),
    (60, 35, 25),
)
ACCENTS: tuple[Colour, ...] = (
    (0, 60, 120),
    (120, 20, 30),
    (20, 90, 50),
    (90, 50, 10),
    (70, 40, 110),
)


@dataclass(frozen=True)
class PageRequest:
    """One page of one document.

    `document_rng` gives the same numbers for every page of the document (its style, its sender),
    `rng` those of this page. `size` is the longer side of a full page in pixels, `page` counts
    from 1, `max_characters` is about how much text the page should hold. A `plain` page is black,
    and its type of the middle size. Letters stand up to `spacing` type sizes further apart than
    usual, and at least half of that.
    """

    document_rng: random.Random
    rng: random.Random
    fonts: FontLibrary
    size: int
    page: int = 1
    max_characters: int | None = None
    plain: bool = False
    spacing: float = 0.0

    def style(
        self,
        *,
        monospaced: bool = False,
        body: tuple[float, float] = (1 / 66, 1 / 44),
        margin: tuple[float, float] = (0.05, 0.1),
    ) -> Style:
        """The document's style; body size and margin are shares of `size`, from a range."""
        rng = self.document_rng
        families = self.fonts.monospaced if monospaced else self.fonts.proportional
        ink = rng.choice(INKS)
        if self.plain:
            ink, body = BLACK, middle_of(*body)
        return Style(
            family=rng.choice(families),
            body_px=max(SMALLEST_PX, round(self.size * rng.uniform(*body))),
            ink=ink,
            accent=rng.choice(ACCENTS) if rng.random() < 0.5 else ink,
            leading=rng.uniform(1.2, 1.5),
            margin_px=round(self.size * rng.uniform(*margin)),
            spacing=self.spacing and rng.uniform(self.spacing / 2, self.spacing),
        )

    def sheet(self, style: Style, width: float = 1 / 1.414, height: float = 1.0) -> Sheet:
        """An empty sheet; width and height are shares of `size`, A4 upright by default."""
        return Sheet(
            self.rng,
            style,
            round(self.size * width),
            round(self.size * height),
            max_characters=self.max_characters,
        )


def middle_of(low: float, high: float) -> tuple[float, float]:
    """The middle tenth of a range."""
    middle, spread = (low + high) / 2, (high - low) / 20
    return middle - spread, middle + spread


@dataclass(frozen=True)
class Kind:
    """A sort of document: how it is laid out, and the smallest `size` at which that works."""

    name: str
    lay_out: Callable[[PageRequest], Layout]
    smallest_size: int
