"""Which glyph stands under each cell, and the heads that learn it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from deepseek_ocr.data.synthetic.layout import Glyph
from deepseek_ocr.data.synthetic.stream import PageStream
from deepseek_ocr.model import DeepseekOcrImageProcessor
from deepseek_ocr.resolution import view_settings
from deepseek_ocr.training.drawn.glyphs import (
    CLASSES,
    NOTHING,
    NUM_CLASSES,
    OTHER,
    glyph_cells,
    placement,
)
from deepseek_ocr.training.drawn.heads import GlyphHeads, group_by_token

AS_IT_IS = (1.0, 1.0, 0.0, 0.0)


def cells(*glyphs, grid=4):
    """(g, 2 g) classes, as the cells lie on the picture."""
    named = [Glyph(character, box) for character, box in glyphs]
    return glyph_cells(named, AS_IT_IS, grid).flatten(1)


def test_a_glyph_within_a_cell_is_the_cell_s():
    found = cells(("a", (17, 2, 22, 12)))
    assert found[0, 2] == CLASSES["a"]
    assert (found != NOTHING).sum() == 1


def test_a_large_glyph_has_every_cell_that_it_covers_well():
    found = cells(("M", (8, 0, 31, 32)))  # nearly all of cells 1, 2 and 3 of two rows
    assert torch.equal(found[:2, 1:4], torch.full((2, 3), CLASSES["M"]))
    assert (found != NOTHING).sum() == 6


def test_a_cell_belongs_to_the_glyph_that_covers_most_of_it():
    found = cells(("a", (0, 0, 5, 16)), ("b", (5, 0, 8, 16)))
    assert found[0, 0] == CLASSES["a"]


def test_a_glyph_between_two_rows_has_cells_in_both():
    found = cells(("x", (1, 12, 7, 20)))
    assert found[0, 0] == found[1, 0] == CLASSES["x"]


def test_what_touches_a_cell_hardly_leaves_it_empty():
    assert cells(("x", (1, 2, 9, 10)))[0, 1] == NOTHING


def test_a_character_without_a_class_is_another_one():
    assert cells(("漢", (0, 0, 8, 16)))[0, 0] == OTHER


def test_ink_beyond_the_picture_has_no_cell():
    assert (cells(("x", (-9, -20, -1, -4)), ("y", (70, 3, 78, 12))) != NOTHING).sum() == 0


@pytest.mark.parametrize("mode", ["tiny", "base"])
@pytest.mark.parametrize("size", [(300, 100), (90, 250), (128, 128)])
def test_a_page_lies_in_its_view_as_the_image_processor_puts_it(mode, size):
    settings = view_settings(mode, base_size=128)
    box = (size[0] * 0.3, size[1] * 0.4, size[0] * 0.6, size[1] * 0.8)
    page = Image.new("RGB", size, "white")
    page.paste("black", tuple(round(x) for x in box))
    view = DeepseekOcrImageProcessor(mode=mode, base_size=128)(page)["pixel_values"][0, 0]
    rows, columns = np.nonzero((view < -0.2).numpy())
    found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    sx, sy, dx, dy = placement(*size, settings)
    expected = (box[0] * sx + dx, box[1] * sy + dy, box[2] * sx + dx, box[3] * sy + dy)
    assert found == pytest.approx(expected, abs=1.5)


def test_most_glyphs_of_a_drawn_page_are_named_by_a_cell():
    pages = PageStream(seed=1, num_pages=12, kinds=("words",), size=128)
    named = total = 0
    for page in map(pages.page, range(12)):
        found = set(glyph_cells(page.glyphs, AS_IT_IS, 8).flatten().tolist())
        characters = {glyph.character for glyph in page.glyphs}
        named += len(found & {CLASSES[c] for c in characters})
        total += len(characters)
    assert named > 0.8 * total


def test_a_token_has_the_cells_of_its_patches():
    grid = torch.arange(8 * 8 * 2).view(1, 8, 8, 2)
    by_token = group_by_token(grid, 2)
    assert by_token.shape == (1, 2, 2, 32)
    assert torch.equal(by_token[0, 1, 0], grid[0, 4:8, 0:4].flatten())


def test_patches_beyond_the_grid_of_the_last_token_hold_nothing():
    grid = torch.full((1, 5, 5, 2), 7)
    by_token = group_by_token(grid, 2)
    assert (by_token == 7).sum() == grid.numel() and (by_token == NOTHING).sum() == 4 * 32 - 50


def test_the_heads_learn_where_the_features_tell_the_glyph():
    torch.manual_seed(0)
    classes = torch.randint(0, NUM_CLASSES, (2, 4, 4, 2))
    grid, tokens = torch.randn(2, 4, 4, 32), torch.randn(2, 1, 1, 32)
    heads = GlyphHeads(32, 32)
    optimizer = torch.optim.Adam(heads.parameters(), lr=0.05)
    losses = []
    for _ in range(40):
        on_grid, on_tokens = heads(grid, tokens, classes)
        (on_grid + on_tokens).backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append((on_grid.item(), on_tokens.item()))
    assert losses[-1][0] < 0.1 * losses[0][0] and losses[-1][1] < 0.1 * losses[0][1]
