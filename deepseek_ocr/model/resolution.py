"""The arithmetic of views, where the network's other files are; see `deepseek_ocr.resolution`.

It lives outside this folder, whose import loads torch: counting tiles and tokens needs none.
"""

from ..resolution import (
    DOWNSAMPLE,
    MODE_NAMES,
    MODES,
    PATCH_SIZE,
    UNIT,
    ViewSettings,
    choose_tile_grid,
    grid_side,
    num_image_tokens,
    num_vision_tokens,
    tile_grid,
    view_settings,
)

__all__ = [
    "DOWNSAMPLE",
    "MODES",
    "MODE_NAMES",
    "PATCH_SIZE",
    "UNIT",
    "ViewSettings",
    "choose_tile_grid",
    "grid_side",
    "num_image_tokens",
    "num_vision_tokens",
    "tile_grid",
    "view_settings",
]
