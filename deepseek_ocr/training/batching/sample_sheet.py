"""`samples.png`: the first pages of a run as the model will see them, with prompt and answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from ...data.statistics.contact_sheet import Cell, contact_sheet
from ...files import replacing
from ...model.image_processing import DeepseekOcrImageProcessor, cut_tiles
from ...resolution import tile_grid
from ..drawn.pages import DrawnPages
from .batches import PageDataset

SAMPLES_NAME = "samples.png"
CELL_WIDTH = 640  # pixels; of a sheet of overviews and tiles
GAP = 12  # pixels between views
GROUND = (120, 130, 150)  # no view has it at its edge
NO_PICTURE = (320, 40)


def write_samples(
    output_dir: Path, dataset: PageDataset | DrawnPages, *, num_rows: int, seed: int
) -> Path:
    """Draw the rows that the run learns first, worn as in its first epoch.

    Raises:
        UserError: a page cannot be opened.
    """
    dataset.set_epoch(1)
    rows = dataset.order(seed=seed, epoch=1)[:num_rows]
    views = dataset.processor.image_processor
    cells = (cell for row in rows for cell in _cells(dataset, row, views))
    sheet = contact_sheet(cells, CELL_WIDTH)
    path = output_dir / SAMPLES_NAME
    with replacing(path) as temporary:
        sheet.save(temporary, format="PNG")
    return path


def _cells(
    dataset: PageDataset | DrawnPages, row: int, views: DeepseekOcrImageProcessor
) -> Iterator[Cell]:
    """One for each page of a row; the first with what is asked and answered."""
    sample = dataset.sample(row)
    text = f"asked: {sample.prompt}\nanswer: {sample.answer}"
    seen = [seen_page(page, views) for page in sample.pages]
    for number, picture in enumerate(seen or [Image.new("RGB", NO_PICTURE, "white")], start=1):
        several = f", picture {number} of {len(seen)}" if len(seen) > 1 else ""
        title = dataset.name(row) + several + ("" if seen else ", text only")
        yield Cell(page=picture, title=title, text=text if number == 1 else "")


def seen_page(page: Image.Image, views: DeepseekOcrImageProcessor) -> Image.Image:
    """The views of a page on one picture: its overview, beside or above its tiles."""
    settings = views.settings()
    overview = views.overview(page, settings)
    columns, rows = grid = tile_grid(*page.size, settings)
    if grid == (1, 1):
        return overview
    size = settings.tile_size or 0
    tiles = Image.new("RGB", _side_by_side(columns, rows, size), GROUND)
    for number, tile in enumerate(cut_tiles(page, grid, size)):
        row, column = divmod(number, columns)
        tiles.paste(tile, (column * (size + GAP), row * (size + GAP)))
    return _joined(overview, tiles, beside=columns <= rows)


def _side_by_side(columns: int, rows: int, size: int) -> tuple[int, int]:
    return columns * (size + GAP) - GAP, rows * (size + GAP) - GAP


def _joined(overview: Image.Image, tiles: Image.Image, *, beside: bool) -> Image.Image:
    """Both in one height, or one above the other in one width."""
    side = overview.width
    scale = side / (tiles.height if beside else tiles.width)
    tiles = tiles.resize((round(tiles.width * scale), round(tiles.height * scale)))
    if beside:
        whole = Image.new("RGB", (side + 2 * GAP + tiles.width, side), GROUND)
        whole.paste(tiles, (side + 2 * GAP, 0))
    else:
        whole = Image.new("RGB", (side, side + 2 * GAP + tiles.height), GROUND)
        whole.paste(tiles, (0, side + 2 * GAP))
    whole.paste(overview, (0, 0))
    return whole
