"""How large a batch is: the numbers that its memory depends on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...resolution import ViewSettings, grid_side, num_image_tokens, tile_grid
from ..batching.planning import RowCost

A4_AT_200_DPI = 1654, 2339


@dataclass(frozen=True, kw_only=True)
class BatchSize:
    """`rows` of `width` positions, padding included; of all rows: learned tokens and views."""

    rows: int
    width: int
    learned: int
    overviews: int
    tiles: int

    @property
    def positions(self) -> int:
        """Of all rows, padding included."""
        return self.rows * self.width

    def with_rows(self, rows: int) -> BatchSize:
        """The same with another number of rows, as wide as these."""
        learned, overviews, tiles = (
            -(-count * rows // self.rows) for count in (self.learned, self.overviews, self.tiles)
        )
        return replace(self, rows=rows, learned=learned, overviews=overviews, tiles=tiles)

    def without_tiles(self, tile_size: int) -> BatchSize:
        """The same rows seen by their overviews alone."""
        image_tokens = self.tiles * grid_side(tile_size) ** 2 // max(self.rows, 1)
        return replace(self, width=max(1, self.width - image_tokens), tiles=0)


def size_of(batch: Sequence[RowCost]) -> BatchSize:
    """Of a batch whose rows are padded to the longest."""
    return BatchSize(
        rows=len(batch),
        width=max(cost.positions for cost in batch),
        learned=sum(cost.learned for cost in batch),
        overviews=sum(cost.overviews for cost in batch),
        tiles=sum(cost.tiles for cost in batch),
    )


def packed_size_of(packs: Sequence[Sequence[RowCost]]) -> BatchSize:
    """Of a batch whose rows are packs: samples laid end to end."""
    width = max(sum(cost.positions for cost in pack) for pack in packs)
    samples = size_of([cost for pack in packs for cost in pack])
    return replace(samples, rows=len(packs), width=width)


def a4_pages(rows: int, settings: ViewSettings, answer_tokens: int) -> BatchSize:
    """Of `rows` scanned pages of A4, each with an answer of `answer_tokens`."""
    grid = tile_grid(*A4_AT_200_DPI, settings)
    tiles = grid[0] * grid[1] if grid != (1, 1) else 0
    around = 8  # begin, end and a short prompt
    return BatchSize(
        rows=rows,
        width=num_image_tokens(grid, settings) + answer_tokens + around,
        learned=rows * (answer_tokens + 1),
        overviews=rows,
        tiles=rows * tiles,
    )
