"""A page to its views, as pictures: one overview, and tiles cut from the page.

Needs Pillow alone, so that processes that cut pages for a model need not load it. Released code:
`modeling_deepseekocr.py:703-905`. Sizes are (width, height).
"""

from __future__ import annotations

from PIL import Image, ImageOps

from .resolution import ViewSettings, tile_grid

RGB = tuple[int, int, int]


def cut_views(
    page: Image.Image, settings: ViewSettings, margin: RGB
) -> tuple[Image.Image, list[Image.Image], tuple[int, int]]:
    """An upright RGB page -> overview, tiles row by row, (columns, rows).

    (1, 1) has no tiles. `margin` is the colour around the page in the overview.
    """
    grid = tile_grid(*page.size, settings)
    tiles = cut_tiles(page, grid, settings.tile_size) if grid != (1, 1) else []
    return cut_overview(page, settings, margin), tiles, grid


def cut_overview(page: Image.Image, settings: ViewSettings, margin: RGB) -> Image.Image:
    """The whole page as a square: padded, or resized out of shape where published."""
    side = (settings.base_size, settings.base_size)
    if settings.distort:
        return page.resize(side, Image.Resampling.BICUBIC)
    return ImageOps.pad(page, side, Image.Resampling.BICUBIC, color=margin)


def cut_tiles(page: Image.Image, grid: tuple[int, int], size: int | None) -> list[Image.Image]:
    """The page resized to the grid (its shape is not kept, as published) and cut row by row."""
    assert size is not None
    columns, rows = grid
    resized = page.resize((columns * size, rows * size), Image.Resampling.BICUBIC)
    return [
        resized.crop((c * size, r * size, (c + 1) * size, (r + 1) * size))
        for r in range(rows)
        for c in range(columns)
    ]
