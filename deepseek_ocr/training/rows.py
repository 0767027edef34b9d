"""What is known of the rows before training: that each fits, and whether they share a prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from ..data.annotations import Annotation
from ..data.pages.loading import load_page
from ..errors import UserError
from ..model.processing import IMAGE, DeepseekOcrProcessor
from ..model.resolution import ViewSettings, num_image_tokens, tile_grid


def common_prompt(annotations: Sequence[Annotation]) -> str | None:
    """The prompt of all rows, as the model sees it; None if they have several."""
    prompts = {row.prompt.strip() for row in annotations}
    return prompts.pop() if len(prompts) == 1 else None


def check_lengths(
    annotations: Sequence[Annotation],
    processor: DeepseekOcrProcessor,
    data_root: Path,
    max_length: int,
    open_page: Callable[[Path, str], Image.Image] = load_page,
) -> None:
    """Every row must fit into `max_length` positions: nothing is ever cut off.

    Pictures are opened only where the most image tokens they could take would not fit.

    Raises:
        UserError: names the first row that is too long, and how many are.
    """
    settings = processor.image_processor.settings()
    most = most_image_tokens(settings)
    too_long: list[tuple[Annotation, int]] = []
    for row in annotations:
        length = _text_length(row, processor)
        if length + most * len(row.images) <= max_length:
            continue
        for reference in row.images:
            size = open_page(data_root, reference).size
            length += num_image_tokens(tile_grid(*size, settings), settings)
        if length > max_length:
            too_long.append((row, length))
    if too_long:
        row, length = too_long[0]
        others = f"; and {len(too_long) - 1} more rows" if len(too_long) > 1 else ""
        raise UserError(
            f"{row_name(row)}: takes {length} positions, the limit is {max_length}{others}\n"
            "Split the text, raise --max_length if the model has more positions, or lower --mode, "
            "--max_tiles"
        )


def row_name(row: Annotation) -> str:
    """How a row is called in messages: its id, and the line it was annotated at."""
    return f"row {row.id}" + (f" ({row.source})" if row.source else "")


def most_image_tokens(settings: ViewSettings) -> int:
    """Positions that the largest tile grid takes."""
    counts = range(1, settings.max_tiles + 1)
    grids = [(c, r) for c in counts for r in counts if c * r <= settings.max_tiles]
    return max(num_image_tokens(grid, settings) for grid in grids)


def _text_length(row: Annotation, processor: DeepseekOcrProcessor) -> int:
    """Positions that prompt and answer take, without image tokens."""
    try:
        return len(processor.encode(row.prompt, [0] * row.prompt.count(IMAGE), row.text).ids)
    except ValueError as error:
        raise UserError(f"{row_name(row)}: {error}") from None
