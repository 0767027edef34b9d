"""The cheapest mode in which a page is legible: what `--mode auto` chooses.

Two rules, both about the page's own pixels. Its small letters must be tall enough in the view: an
independent reader (Tesseract) makes no more errors at an x-height of 5 pixels than at 14, at 4
three times as many, at 3 fifty times. And a token of the view must not have to hold too much: in
the paper, 98.5 % are read right at 6.7 tokens of text for each of the view, 96.5 % at 10.5 (its
table of Fox pages). Measured by benchmarks/auto_mode.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from ...resolution import ViewSettings, num_image_tokens, num_vision_tokens, tile_grid
from .content_box import content_box
from .printed_words import find_words

LEAST_BAND_PX = 5.0
"""Height of small letters in the view; that of scripts and lines without small letters is twice
as much: capitals are as tall as their small letters and what reaches above, and ideographs have
more strokes."""
NO_SMALL_LETTERS = 1.15  # times its band is the mean height of words that have none
SMALLEST_SHARE = 0.15
"""Of the characters, which may be smaller: one footnote does not decide, a column of them does."""
MOST_CHARACTERS = 28.0
"""That a token of the view has to hold: 6.7 tokens of text, of 4.2 characters each."""


def choose_mode(pages: Sequence[Image.Image], choices: Mapping[str, ViewSettings]) -> str:
    """The name of the cheapest mode in which all these pages are legible, else the finest.

    RGB pages; a page without print is legible in all modes if it is blank, else in the finest
    alone: it may be a photograph of print.
    """
    names = list(choices)
    if len(names) == 1 or not pages:
        return names[0]
    chosen = [_mode_of(page, choices) for page in pages]
    return max(chosen, key=names.index)


def _mode_of(page: Image.Image, choices: Mapping[str, ViewSettings]) -> str:
    by_cost = sorted(choices, key=lambda name: _num_tokens(page, choices[name]))
    words = find_words(page)
    if not len(words):
        return by_cost[0] if content_box(page) is None else by_cost[-1]
    small_px, num_characters = small_letters(words), float((words["width"] / words["band"]).sum())
    least_px = LEAST_BAND_PX if _has_small_letters(words) else 2 * LEAST_BAND_PX
    for name in by_cost:
        settings = choices[name]
        scale = view_scale(page.size, settings)
        is_tall_enough = scale >= 1 or small_px * scale >= least_px  # more pixels than it has: none
        grid = tile_grid(*page.size, settings)
        held = num_characters / num_vision_tokens(grid, settings)
        if is_tall_enough and held <= MOST_CHARACTERS:
            return name
    return by_cost[-1]


def small_letters(words: np.ndarray) -> float:
    """Pixels of the band that all but `SMALLEST_SHARE` of the characters exceed."""
    order = np.argsort(words["band"])
    characters = (words["width"] / words["band"])[order]
    share = np.cumsum(characters) / characters.sum()
    place = min(int(np.searchsorted(share, SMALLEST_SHARE)), len(order) - 1)
    return float(words["band"][order][place])


def view_scale(size: tuple[int, int], settings: ViewSettings) -> float:
    """Pixels of the finest view a pixel of the page, along the side that is squeezed more."""
    width, height = size
    base = settings.base_size
    scale = base / max(width, height)
    if (grid := tile_grid(width, height, settings)) != (1, 1):
        assert settings.tile_size is not None
        columns, rows = grid
        in_tiles = min(columns * settings.tile_size / width, rows * settings.tile_size / height)
        scale = max(scale, in_tiles)
    return scale


def _has_small_letters(words: np.ndarray) -> bool:
    weights = words["width"]
    return (
        float((words["height"] / words["band"] * weights).sum() / weights.sum()) > NO_SMALL_LETTERS
    )


def _num_tokens(page: Image.Image, settings: ViewSettings) -> int:
    return num_image_tokens(tile_grid(*page.size, settings), settings)
