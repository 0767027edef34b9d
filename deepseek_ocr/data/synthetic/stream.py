"""A stream of drawn pages without end, for training: any of them by seed and number alone."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import UsageError
from .fonts import BUNDLED, load_fonts
from .kinds import KINDS
from .pages import SyntheticPage, draw_page
from .seeds import stream


def check_kinds(kinds: Sequence[str], size: int) -> None:
    """Every kind must exist, and be one that can be drawn `size` pixels large.

    Raises:
        UsageError: names the nearest kind, or the smallest size.
    """
    for kind in kinds:
        if kind not in KINDS:
            near = difflib.get_close_matches(kind, KINDS, 1)
            advice = f"did you mean {near[0]}?" if near else f"known: {', '.join(KINDS)}"
            raise UsageError(f"kind: unknown kind {kind!r}; {advice}")
        if size < (smallest := KINDS[kind].smallest_size):
            raise UsageError(f"size: {kind} need at least {smallest} pixels, got {size}")


@dataclass(frozen=True, kw_only=True)
class PageStream:
    """`num_pages` drawn pages; page number n depends on these settings and n, and nothing else.

    `kinds` are drawn equally often; `size` is the longer side of a full page in pixels.
    Three things may change from the first page to the last, on a line: `characters`, how many a
    page may hold at most (0: what fits); `variety`, the share of pages in all fonts, sizes, inks
    and papers, where the others are plain: one face, hardly a difference in size, black on clean
    white; and `spacing`, how far letters stand apart beyond the usual, in type sizes, at most.
    """

    seed: int
    num_pages: int
    kinds: tuple[str, ...]
    size: int
    characters: tuple[int, int] = (0, 0)
    variety: tuple[float, float] = (1.0, 1.0)
    spacing: tuple[float, float] = (0.0, 0.0)
    fonts: str = BUNDLED

    def __post_init__(self) -> None:
        check_kinds(self.kinds, self.size)
        load_fonts(self.fonts)

    def __len__(self) -> int:
        return self.num_pages

    def page(self, number: int) -> SyntheticPage:
        """Page `number`, from 0, drawn."""
        rng = stream(self.seed, number, "stream")
        kind, plain = rng.choice(self.kinds), rng.random() >= self._at(number, self.variety)
        fonts = load_fonts(self.fonts)
        return draw_page(
            self.seed,
            number,
            kind,
            size=self.size,
            max_characters=self.most_characters(number) or None,
            fonts=fonts.plainest if plain else fonts,
            plain=plain,
            spacing=self._at(number, self.spacing),
        )

    def most_characters(self, number: int) -> int:
        """The limit of page `number`; 0: none."""
        return round(self._at(number, self.characters))

    def _at(self, number: int, ends: tuple[float, float]) -> float:
        """What goes from the first of `ends` to the last, at page `number`."""
        first, last = ends
        return first + (last - first) * number / max(self.num_pages - 1, 1)
