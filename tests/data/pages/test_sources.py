"""Pages of documents: how large they are drawn, how they are turned, what is kept open."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from deepseek_ocr.data.pages import sources
from deepseek_ocr.data.pages.auto_mode import view_scale
from deepseek_ocr.data.pages.sources import (
    PageOpener,
    PageSource,
    open_as_read,
    open_source,
    source_of,
    useful_side,
    values_of,
)
from deepseek_ocr.errors import PageError
from deepseek_ocr.resolution import MODES, tile_grid
from tests.reading.pdf_files import pdf_of, square_of


@pytest.fixture
def ten_pages(tmp_path) -> Path:
    path = tmp_path / "ten.pdf"
    path.write_bytes(pdf_of([square_of(n / 9) for n in range(10)], size=(400, 600)))
    return path


def source(path: Path, page: int = 1, **options) -> PageSource:
    return PageSource(path=path, name=path.name, page=page, **options)


# --- the size of a drawn page ---------------------------------------------------------------------


@pytest.mark.parametrize("mode, side", [
    ("tiny", 724),  # squeezed into a square: its shorter side fills 512
    ("small", 905),
    ("base", 1024),
    ("large", 1280),
    ("gundam", 1920),  # two by three tiles of 640
    ("gundam-m", 3072),
])  # fmt: skip
def test_an_a4_page_is_drawn_as_large_as_the_mode_can_use(mode, side):
    assert useful_side(595.28, 841.89, MODES[mode]) == pytest.approx(side, abs=1)


SIDES = st.floats(1, 5000)


@given(SIDES, SIDES, st.sampled_from(sorted(MODES)))
def test_no_view_has_more_pixels_than_the_drawn_page_but_of_strips(width, height, mode):
    settings = MODES[mode]
    side = useful_side(width, height, settings)
    assert 1 <= side <= 2 * 9 * 1024
    assume(max(width, height) < 1.9 * min(width, height))
    scale = side / max(width, height)
    drawn = round(width * scale), round(height * scale)
    assert view_scale(drawn, settings) <= 1.01
    grid = tile_grid(*drawn, settings)
    if settings.tile_size is not None:
        columns, rows = grid
        assert columns * settings.tile_size <= drawn[0] + 1
        assert rows * settings.tile_size <= drawn[1] + 1


def test_dpi_is_what_it_says_and_ends_at_the_limit_of_pixels(ten_pages):
    with PageOpener() as opener:
        page, _ = open_source(source(ten_pages, dpi=72), opener, MODES.values())
        assert page.size == (400, 600)
        page, _ = open_source(source(ten_pages, dpi=144), opener, ())
        assert page.size == (800, 1200)
        page, _ = open_source(source(ten_pages, dpi=7200, max_pixels=60_000), opener, ())
        assert page.size == (200, 300)


def test_the_largest_of_several_modes_decides(ten_pages):
    with PageOpener() as opener:
        page, _ = open_source(source(ten_pages), opener, [MODES["tiny"], MODES["base"]])
        assert page.size == (683, 1024)


def test_a_picture_keeps_its_pixels_whatever_is_asked(tmp_path):
    Image.new("RGB", (30, 20), "red").save(tmp_path / "a.png")
    with PageOpener() as opener:
        page, _ = open_source(source(tmp_path / "a.png", dpi=300), opener, MODES.values())
        again, _ = open_as_read(source(tmp_path / "a.png"), opener, (300, 200))
    assert page.size == again.size == (30, 20)


# --- turning --------------------------------------------------------------------------------------


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_degrees_count_clockwise(tmp_path, degrees):
    pixels = np.zeros((2, 3, 3), np.uint8)
    pixels[0, 0] = 255  # in the upper left corner
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with PageOpener() as opener:
        page, turned = open_source(source(tmp_path / "a.png", rotation=str(degrees)), opener, ())
    assert turned == degrees
    expected = np.rot90(pixels, -degrees // 90)
    assert np.array_equal(np.asarray(page), expected)


# --- what is kept open ----------------------------------------------------------------------------


def greys(opener: PageOpener, path: Path, numbers) -> list[int]:
    return [round(opener.page(source(path, n), 6).getpixel((0, 0))[0] * 9 / 255) for n in numbers]


def test_a_document_is_opened_once_for_its_pages_in_any_order(ten_pages, monkeypatch):
    opened = []
    really = sources.opened_pdf
    monkeypatch.setattr(sources, "opened_pdf", lambda *a: opened.append(a) or really(*a))
    with PageOpener() as opener:
        assert greys(opener, ten_pages, [1, 10, 5, 5, 2]) == [0, 9, 4, 4, 1]
        assert opener.num_pages(source(ten_pages)) == 10
        assert len(opened) == 1
        monkeypatch.setattr(sources, "PAGES_AT_ONCE", 3)
        assert greys(opener, ten_pages, range(1, 11)) == list(range(10))
        assert len(opened) == 5  # anew after every third page: what it keeps is freed


def test_another_password_or_limit_is_another_opening(ten_pages, tmp_path):
    other = tmp_path / "other.pdf"
    other.write_bytes(pdf_of([square_of(1)]))
    with PageOpener() as opener:
        assert greys(opener, ten_pages, [1]) + greys(opener, other, [1]) == [0, 9]
        assert greys(opener, ten_pages, [1]) == [0]


def test_a_page_that_fails_leaves_the_others_readable(ten_pages):
    with PageOpener() as opener:
        for number in (0, 11):
            with pytest.raises(PageError, match=f"ten.pdf#page={number}: has no such page"):
                opener.page(source(ten_pages, number), 6)
        assert greys(opener, ten_pages, [3]) == [2]


def test_a_missing_file_says_so(tmp_path):
    with (
        PageOpener() as opener,
        pytest.raises(PageError, match=r"a\.pdf: cannot be read \(No such"),
    ):
        opener.num_pages(source(tmp_path / "a.pdf"))


def test_a_source_can_be_sent_and_its_errors_name_the_page(tmp_path):
    page = source(tmp_path / "a\udcff.pdf", 3, password="x", rotation="90", dpi=72.5, max_pixels=5)
    assert source_of(values_of(page)) == page
    assert str(page).endswith("#page=3") and str(source(tmp_path / "a.png")) == "a.png"
