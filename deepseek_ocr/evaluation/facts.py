"""What is known of a row's pages beside its answer: sizes, tiles, tokens."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, Protocol

from PIL import Image

from ..data.annotations import Annotation
from ..resolution import ViewSettings, num_vision_tokens, tile_grid


@dataclasses.dataclass(frozen=True, kw_only=True)
class PageFacts:
    """Figures of one row's pages and of its truth; None for what nobody could tell.

    `page_sizes` are (width, height) in pixels. `num_tiles` are the tiles of all pages (0: overviews
    alone), `num_vision_tokens` counts as the paper does, `num_text_tokens` those of the truth.
    """

    page_sizes: tuple[tuple[int, int], ...] | None = None
    num_tiles: int | None = None
    num_vision_tokens: int | None = None
    num_text_tokens: int | None = None


AUTO = "auto"
"""The mode that is chosen anew for each row."""

NOTHING_KNOWN = PageFacts()


class Observe(Protocol):
    """What tells the facts of a row."""

    def __call__(
        self, annotation: Annotation, pages: Sequence[Image.Image] | None, mode: str = ""
    ) -> PageFacts:
        """Of pages that were seen in a mode; None: they could not be opened, "": the engine's."""


def observer(engine: Any) -> Observe:
    """What tells the facts of rows that `engine` answers, as far as it has a processor."""
    processor = getattr(engine, "processor", None)

    @functools.cache
    def settings_of(mode: str) -> ViewSettings | None:
        if processor is None:
            return None
        views = processor.image_processor
        chosen = mode if AUTO in (engine.mode, getattr(views, "mode", None)) else ""
        return views.settings(chosen or engine.mode, **engine.sizes)

    def observe(
        annotation: Annotation, pages: Sequence[Image.Image] | None, mode: str = ""
    ) -> PageFacts:
        text = annotation.text
        counted = len(processor.tokenize(text)) if processor is not None and text else None
        sizes = None if pages is None else tuple((page.width, page.height) for page in pages)
        return page_facts(sizes, settings_of(mode), counted)

    return observe


def page_facts(
    sizes: tuple[tuple[int, int], ...] | None,
    settings: ViewSettings | None,
    num_text_tokens: int | None,
) -> PageFacts:
    """The facts of pages of these sizes, seen with these settings."""
    if sizes is None or settings is None:
        return PageFacts(page_sizes=sizes, num_text_tokens=num_text_tokens)
    grids = [tile_grid(width, height, settings) for width, height in sizes]
    return PageFacts(
        page_sizes=sizes,
        num_tiles=sum(c * r for c, r in grids if c * r > 1),
        num_vision_tokens=sum(num_vision_tokens(grid, settings) for grid in grids),
        num_text_tokens=num_text_tokens,
    )
