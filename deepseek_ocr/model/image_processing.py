"""A page image to its views: one overview, and tiles cut from the page.

Released code: `modeling_deepseekocr.py:703-905`. Pixels agree with it to one bfloat16 rounding.
Sizes of pictures are (width, height); tensors are (..., height, width).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers.image_processing_base import BatchFeature, ImageProcessingMixin

from ..pictures import upright_rgb
from ..views import cut_overview, cut_tiles, cut_views
from .resolution import ViewSettings, view_settings

__all__ = ["DeepseekOcrImageProcessor", "as_rgb", "cut_tiles"]

HALF = (0.5, 0.5, 0.5)


class DeepseekOcrImageProcessor(ImageProcessingMixin):
    """Pictures -> `pixel_values`, `tile_values`, `tile_grids`; remembers a mode and its sizes.

    Args:
        mode: tiny, small, base, large, gundam (published), gundam-m or auto.
        base_size, tile_size: sides in pixels in place of the mode's.
        max_tiles: at most so many tiles a picture (9 as in the checkpoint's code; 6 reproduces
            the released vLLM program).
        image_mean, image_std: of each channel, in 0 ... 1.
    """

    model_input_names = ["pixel_values", "tile_values", "tile_grids"]  # noqa: RUF012

    def __init__(
        self,
        mode: str = "gundam",
        base_size: int | None = None,
        tile_size: int | None = None,
        max_tiles: int | None = None,
        image_mean: Sequence[float] = HALF,
        image_std: Sequence[float] = HALF,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.mode = mode
        self.base_size, self.tile_size, self.max_tiles = base_size, tile_size, max_tiles
        self.image_mean, self.image_std = list(image_mean), list(image_std)
        self.settings()  # an unknown mode or size fails here

    def settings(
        self,
        mode: str | None = None,
        *,
        base_size: int | None = None,
        tile_size: int | None = None,
        max_tiles: int | None = None,
    ) -> ViewSettings:
        """The sizes in force: what is named here, else this processor's.

        A mode that is named here brings its own sizes along.
        """
        own = mode is None or mode == self.mode
        return view_settings(
            mode or self.mode,
            base_size=self.base_size if own and base_size is None else base_size,
            tile_size=self.tile_size if own and tile_size is None else tile_size,
            max_tiles=self.max_tiles if max_tiles is None else max_tiles,
        )

    def __call__(
        self,
        images: Image.Image | Sequence[Image.Image],
        mode: str | None = None,
        *,
        return_tensors: str | None = "pt",
        **sizes: int | None,
    ) -> BatchFeature:
        """Pictures (PIL, or arrays of 8-bit RGB) -> the views of all of them, float32 in [-1, 1].

        Returns:
            `pixel_values` (images, 3, B, B), `tile_values` (tiles, 3, S, S) row by row and picture
            by picture, `tile_grids` (images, 2) columns and rows, (1, 1) where there are no tiles.
        """
        if return_tensors not in (None, "pt"):
            raise ValueError(f"return_tensors is {return_tensors!r}; only 'pt' is supported")
        settings = self.settings(mode, **sizes)
        pictures = [images] if isinstance(images, Image.Image | np.ndarray) else list(images)
        views = [self.views(as_rgb(picture), settings) for picture in pictures]
        side = settings.tile_size or settings.base_size
        empty = torch.zeros(0, 3, settings.base_size, settings.base_size)
        overviews = [overview for overview, _, _ in views]
        tiles = [tile for _, page_tiles, _ in views for tile in page_tiles]
        grids = [grid for _, _, grid in views]
        return BatchFeature(
            {
                "pixel_values": torch.stack(overviews) if overviews else empty,
                "tile_values": torch.stack(tiles) if tiles else torch.zeros(0, 3, side, side),
                "tile_grids": torch.tensor(grids, dtype=torch.long).view(-1, 2),
            }
        )

    def views(
        self, page: Image.Image, settings: ViewSettings
    ) -> tuple[Tensor, list[Tensor], tuple[int, int]]:
        """An upright RGB page -> overview (3, B, B), tiles (3, S, S), (columns, rows)."""
        overview, tiles, grid = cut_views(page, settings, self.margin)
        return self.to_tensor(overview), list(map(self.to_tensor, tiles)), grid

    @property
    def margin(self) -> tuple[int, int, int]:
        """The grey around a page in its overview."""
        red, green, blue = (int(mean * 255) for mean in self.image_mean)
        return red, green, blue

    def overview(self, page: Image.Image, settings: ViewSettings) -> Image.Image:
        """The whole page as a square: padded with grey, or resized out of shape where published."""
        return cut_overview(page, settings, self.margin)

    def to_tensor(self, picture: Image.Image | np.ndarray) -> Tensor:
        """RGB picture, or (height, width, 3) array -> (3, height, width), 0 ... 255 as -1 ... 1."""
        array = np.array(picture, dtype=np.uint8)  # a copy: torch wants writable memory
        pixels = torch.from_numpy(array).permute(2, 0, 1).float() / 255
        mean = torch.tensor(self.image_mean).view(3, 1, 1)
        return ((pixels - mean) / torch.tensor(self.image_std).view(3, 1, 1)).contiguous()


def as_rgb(picture: Image.Image | np.ndarray) -> Image.Image:
    """Upright RGB, transparency on white; arrays are (height, width, 3) of 8 bits."""
    if isinstance(picture, np.ndarray):
        picture = Image.fromarray(picture)
    if not isinstance(picture, Image.Image):
        raise TypeError(f"expected a PIL image or an array, found {type(picture).__name__}")
    return upright_rgb(picture)
