"""Which glyph stands under each part of a drawn page: the truth that the glyph heads learn.

Letters: g = S / 16, the side of SAM's grid over a view of S pixels. Each patch of 16 x 16 pixels
is two cells, left and right: letters are about as wide as half a patch, and would else go unnamed.
"""

from __future__ import annotations

import string
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from ...data.synthetic.layout import Box, Glyph
from ...resolution import PATCH_SIZE, ViewSettings

CELLS = 2
"""Cells of a patch, side by side."""
CELL_WIDTH, CELL_HEIGHT = PATCH_SIZE // CELLS, PATCH_SIZE
NOTHING, OTHER = 0, 1
ALPHABET = string.printable[:94] + "äöüÄÖÜßéèêëàâáåÅçíîïñóôúøØæłńřńž€£’‘“”–—•×"
CLASSES = {character: number for number, character in enumerate(dict.fromkeys(ALPHABET), start=2)}
NUM_CLASSES = len(CLASSES) + 2
LEAST_OVERLAP = 0.3
"""Of a glyph that is a cell's: on each axis, as a share of the cell or of a smaller glyph."""

Placement = tuple[float, float, float, float]
"""Scale and shift from pixels of the page to those of the view: x * sx + dx, y * sy + dy."""


def placement(width: int, height: int, settings: ViewSettings) -> Placement:
    """How a page of `width` x `height` pixels lies in its overview; see `image_processing`."""
    side = settings.base_size
    if settings.distort:
        return side / width, side / height, 0.0, 0.0
    scale = side / max(width, height)
    return scale, scale, (side - width * scale) / 2, (side - height * scale) / 2


def glyph_cells(glyphs: Iterable[Glyph], place: Placement, grid: int) -> Tensor:
    """Glyphs with boxes in the page's pixels -> (g, g, 2) classes, `NOTHING` where there is none.

    A cell belongs to the glyph that covers most of it.
    """
    covered = np.zeros((grid, grid * CELLS), dtype=np.float32)
    classes = np.full((grid, grid * CELLS), NOTHING, dtype=np.int64)
    for glyph in glyphs:
        left, top, right, bottom = _moved(glyph.box, place)
        for row, height in _overlaps(top, bottom, CELL_HEIGHT, grid):
            for column, width in _overlaps(left, right, CELL_WIDTH, grid * CELLS):
                if width * height > covered[row, column]:
                    covered[row, column] = width * height
                    classes[row, column] = CLASSES.get(glyph.character, OTHER)
    return torch.from_numpy(classes.reshape(grid, grid, CELLS))


def _moved(box: Box, place: Placement) -> Box:
    sx, sy, dx, dy = place
    return box[0] * sx + dx, box[1] * sy + dy, box[2] * sx + dx, box[3] * sy + dy


def _overlaps(first: float, last: float, size: int, count: int) -> list[tuple[int, float]]:
    """Cells along an axis that a glyph from `first` to `last` lies in, with how far, in pixels."""
    touched = range(max(0, int(first // size)), min(count, int(-(-last // size))))
    overlaps = [(cell, min(last, (cell + 1) * size) - max(first, cell * size)) for cell in touched]
    least = LEAST_OVERLAP * min(last - first, size)
    return [(cell, overlap) for cell, overlap in overlaps if overlap >= least]
