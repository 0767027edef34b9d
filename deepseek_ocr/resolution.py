"""How a page is seen: modes, tile grids, and the number of image tokens. Integers only.

The one place that counts image tokens; prompts, views, the model and the tables use it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

PATCH_SIZE = 16  # pixels a side of one of SAM's patches
DOWNSAMPLE = 4  # the compressor halves the grid twice: 16 times fewer tokens
UNIT = PATCH_SIZE * DOWNSAMPLE


@dataclass(frozen=True, kw_only=True)
class ViewSettings:
    """Sides in pixels of the overview and of the tiles; `tile_size` None: no tiles.

    `distort` resizes the overview to a square instead of padding it, as published for the modes
    tiny and small.
    """

    base_size: int
    tile_size: int | None = None
    min_tiles: int = 2
    max_tiles: int = 9
    distort: bool = False

    def __post_init__(self) -> None:
        for name in ("base_size", "tile_size"):
            size = getattr(self, name)
            if size is not None and (size < UNIT or size % PATCH_SIZE):
                raise ValueError(
                    f"{name} is {size}; expected a multiple of {PATCH_SIZE}, at least {UNIT} pixels"
                )
        if self.max_tiles < 1:
            raise ValueError(f"max_tiles is {self.max_tiles}; expected at least 1 (1: no tiles)")


MODES = {
    "tiny": ViewSettings(base_size=512, distort=True),
    "small": ViewSettings(base_size=640, distort=True),
    "base": ViewSettings(base_size=1024),
    "large": ViewSettings(base_size=1280),
    "gundam": ViewSettings(base_size=1024, tile_size=640),
    "gundam-m": ViewSettings(base_size=1280, tile_size=1024),
}
"""Published modes (paper, table 1); the released weights were not trained for gundam-m."""

Mode = Literal["tiny", "small", "base", "large", "gundam", "gundam-m", "auto"]
"""The names that `--mode` takes."""
MODE_NAMES: tuple[Mode, ...] = get_args(Mode)


def view_settings(
    mode: str,
    *,
    base_size: int | None = None,
    tile_size: int | None = None,
    max_tiles: int | None = None,
) -> ViewSettings:
    """The settings of a mode, with the named sizes in place of its own.

    `auto` is gundam until reading decides it by the page. A `tile_size` gives tiles to a mode
    that has none.

    Raises:
        ValueError: an unknown mode, or a size that is not a multiple of 16 pixels.
    """
    if mode not in MODE_NAMES:
        raise ValueError(f"unknown mode {mode!r}; known: {', '.join(MODE_NAMES)}")
    settings = MODES["gundam" if mode == "auto" else mode]
    named = {"base_size": base_size, "tile_size": tile_size, "max_tiles": max_tiles}
    return replace(settings, **{k: v for k, v in named.items() if v is not None})  # type: ignore[arg-type]


def tile_grid(width: int, height: int, settings: ViewSettings) -> tuple[int, int]:
    """Columns and rows of a page of `width` x `height` pixels; (1, 1): no tiles."""
    size = settings.tile_size
    if size is None or settings.max_tiles < settings.min_tiles or max(width, height) <= size:
        return 1, 1
    return choose_tile_grid(width, height, size, settings.max_tiles, settings.min_tiles)


def choose_tile_grid(
    width: int, height: int, tile_size: int, max_tiles: int, min_tiles: int = 2
) -> tuple[int, int]:
    """Columns and rows of the grid whose shape is closest to the page's.

    Of equally close grids, the largest that the page more than half fills wins, as published
    (`modeling_deepseekocr.py`, `find_closest_aspect_ratio`).
    """
    counts = range(1, max_tiles + 1)
    grids = [(c, r) for c in counts for r in counts if min_tiles <= c * r <= max_tiles]
    best, best_error = (1, 1), math.inf
    for columns, rows in sorted(grids, key=math.prod):
        error = abs(width / height - columns / rows)
        half_filled = width * height > 0.5 * columns * rows * tile_size**2
        if error < best_error or (error == best_error and half_filled):
            best, best_error = (columns, rows), error
    return best


def grid_side(size: int) -> int:
    """Image tokens along one side of a view of `size` pixels: 8, 10, 16, 20 for 512 ... 1280."""
    return math.ceil(size // PATCH_SIZE / DOWNSAMPLE)


def num_image_tokens(grid: tuple[int, int], settings: ViewSettings) -> int:
    """Positions that one picture takes in the prompt: tiles, overview, newlines, separator."""
    overview = grid_side(settings.base_size)
    tokens = overview * (overview + 1) + 1
    columns, rows = grid
    if columns * rows > 1 and settings.tile_size is not None:
        side = grid_side(settings.tile_size)
        tokens += (side * columns + 1) * side * rows
    return tokens


def num_vision_tokens(grid: tuple[int, int], settings: ViewSettings) -> int:
    """Tokens as the paper counts them: without newlines and separator (its table 1)."""
    columns, rows = grid
    tiles = columns * rows if columns * rows > 1 and settings.tile_size is not None else 0
    side = grid_side(settings.tile_size) if settings.tile_size is not None else 0
    return grid_side(settings.base_size) ** 2 + tiles * side**2
