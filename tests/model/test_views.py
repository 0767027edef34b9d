"""Views agree with what the released preprocessing made of eight picture sizes in five modes."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from deepseek_ocr.model import MODES, DeepseekOcrImageProcessor
from deepseek_ocr.model.resolution import (
    choose_tile_grid,
    num_image_tokens,
    num_vision_tokens,
    tile_grid,
    view_settings,
)
from tests.conftest import recorded

SIZES = ["640x640", "300x200", "1000x700", "1280x1280", "1654x2339", "2480x3508", "3000x600", "4000x1000"]  # fmt: skip
RECORDED_MODES = ["tiny", "small", "base", "large", "gundam"]
ONE_ROUNDING = 2**-8  # bfloat16 keeps 8 bits: values up to 1 are at most so far from the truth


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", RECORDED_MODES)
def test_grids_and_counts_are_those_of_the_released_code(mode, size):
    expected = json.loads(recorded("views.json").read_text())[f"{mode}.{size}"]
    width, height = map(int, size.split("x"))
    settings = view_settings(mode)
    grid = tile_grid(width, height, settings)
    assert [list(grid)] == expected["spatial_crop"]
    assert num_image_tokens(grid, settings) == expected["image_tokens"]


@pytest.fixture(scope="module")
def pictures(shared):
    from safetensors.torch import load_file

    return load_file(shared / "golden" / "views.safetensors")


@pytest.mark.parametrize("size", SIZES)
def test_pixels_are_those_of_the_released_code(pictures, size):
    expected = json.loads(recorded("views.json").read_text())
    small = Image.fromarray(pictures[f"image.{size}.small_u8"].numpy())
    page = small.resize(tuple(map(int, size.split("x"))), Image.Resampling.BICUBIC)
    for mode in RECORDED_MODES:
        views = DeepseekOcrImageProcessor(mode=mode)(page)
        facts, name = expected[f"{mode}.{size}"], f"{mode}.{size}"
        assert list(views["pixel_values"].shape) == facts["global_shape"]
        assert_pixels(views["pixel_values"], pictures, f"{name}.global")
        if not facts["tiles_zero"]:
            assert list(views["tile_values"].shape) == facts["tiles_shape"][-4:]
            assert_pixels(views["tile_values"], pictures, f"{name}.tiles")


def assert_pixels(views: torch.Tensor, pictures, name: str) -> None:
    rounded = views.to(torch.bfloat16)
    if name in pictures:
        difference = (rounded.float() - pictures[name].float()).abs().max()
        assert difference <= ONE_ROUNDING, name
    key = next((k for k in (f"{name}_pool16", f"{name}.pooled") if k in pictures), None)
    if key is not None:
        pooled = torch.nn.functional.avg_pool2d(rounded.float(), 16)
        assert (pooled - pictures[key]).abs().max() <= ONE_ROUNDING, key


@pytest.mark.parametrize(
    "mode, tokens", [("tiny", 73), ("small", 111), ("base", 273), ("large", 421)]
)
def test_modes_without_tiles_take_the_published_number_of_tokens(mode, tokens):
    assert num_image_tokens((1, 1), MODES[mode]) == tokens


@pytest.mark.parametrize(
    "grid, tokens",
    [((1, 2), 493), ((2, 1), 483), ((1, 3), 603), ((2, 3), 903), ((3, 2), 893), ((1, 9), 1263), ((3, 3), 1203), ((9, 1), 1183)],
)  # fmt: skip
def test_gundam_takes_the_published_number_of_tokens(grid, tokens):
    assert num_image_tokens(grid, MODES["gundam"]) == tokens


def test_gundam_m_takes_the_published_number_of_tokens():
    assert num_image_tokens((1, 2), MODES["gundam-m"]) == 965
    assert num_image_tokens((2, 1), MODES["gundam-m"]) == 949


def test_the_paper_counts_tokens_without_newlines_and_separator():
    assert num_vision_tokens((1, 1), MODES["tiny"]) == 64
    assert num_vision_tokens((2, 3), MODES["gundam"]) == 256 + 6 * 100


@pytest.mark.parametrize(
    "size, grid",
    [((1920, 1080), (4, 2)), ((641, 640), (2, 2)), ((1654, 2339), (2, 3)), ((640, 640), (1, 1)), ((100, 641), (1, 6))],
)  # fmt: skip
def test_known_pages_get_their_published_grid(size, grid):
    assert tile_grid(*size, MODES["gundam"]) == grid


# the order in which the released code meets equally close grids (model_spec.md, section 7)
ORDER_9 = [(1, 2), (2, 1), (3, 1), (1, 3), (2, 2), (4, 1), (1, 4), (5, 1), (1, 5), (1, 6), (6, 1), (3, 2), (2, 3), (7, 1), (1, 7), (4, 2), (2, 4), (1, 8), (8, 1), (1, 9), (3, 3), (9, 1)]  # fmt: skip
ORDER_6 = [(1, 2), (2, 1), (3, 1), (1, 3), (4, 1), (1, 4), (2, 2), (1, 5), (5, 1), (6, 1), (2, 3), (1, 6), (3, 2)]  # fmt: skip


def released_choice(width, height, order, tile_size):
    best, best_difference = (1, 1), float("inf")
    for grid in order:
        difference = abs(width / height - grid[0] / grid[1])
        if difference < best_difference:
            best, best_difference = grid, difference
        elif difference == best_difference and (
            width * height > 0.5 * tile_size * tile_size * grid[0] * grid[1]
        ):
            best = grid
    return best


@given(st.integers(1, 6000), st.integers(1, 6000))
def test_any_page_gets_the_grid_of_the_released_code(width, height):
    assert choose_tile_grid(width, height, 640, 9) == released_choice(width, height, ORDER_9, 640)
    assert choose_tile_grid(width, height, 640, 6) == released_choice(width, height, ORDER_6, 640)


@given(st.sampled_from(list(MODES)), st.integers(1, 4000), st.integers(1, 4000))
def test_placeholders_and_views_always_agree(mode, width, height):
    settings = MODES[mode]
    columns, rows = tile_grid(width, height, settings)
    side = settings.base_size // 64
    expected = side * (side + 1) + 1
    if columns * rows > 1:
        q = settings.tile_size // 64
        expected += q * rows * (q * columns + 1)
    assert num_image_tokens((columns, rows), settings) == expected


@pytest.mark.parametrize("tile_size", [512, 640, 1024])
def test_tile_size_base_size_and_tiles_are_settings(tile_size):
    views = DeepseekOcrImageProcessor()(
        Image.new("RGB", (3000, 2000)), tile_size=tile_size, base_size=512, max_tiles=4
    )
    assert views["tile_values"].shape[1:] == (3, tile_size, tile_size)
    assert views["pixel_values"].shape == (1, 3, 512, 512)
    assert views["tile_grids"].prod() <= 4


def test_no_pictures_give_empty_views():
    views = DeepseekOcrImageProcessor()([])
    assert views["pixel_values"].shape == (0, 3, 1024, 1024)
    assert views["tile_values"].shape == (0, 3, 640, 640)
    assert views["tile_grids"].shape == (0, 2)


@pytest.mark.parametrize(
    "sizes", [{"base_size": 100}, {"tile_size": 32}, {"max_tiles": 0}, {"base_size": 0}]
)
def test_impossible_sizes_are_refused(sizes):
    with pytest.raises(ValueError, match=next(iter(sizes))):
        DeepseekOcrImageProcessor(mode="gundam", **sizes)


def test_an_unknown_mode_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="unknown mode 'giant'; known: tiny, small"):
        DeepseekOcrImageProcessor(mode="giant")


def test_transparent_pages_are_seen_on_white():
    clear = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    views = DeepseekOcrImageProcessor(mode="tiny")(clear)
    assert views["pixel_values"].min() == 1.0


def test_one_tile_at_most_means_none():
    views = DeepseekOcrImageProcessor(max_tiles=1)(Image.new("RGB", (3000, 2000)))
    assert views["tile_grids"].tolist() == [[1, 1]]
    assert len(views["tile_values"]) == 0
