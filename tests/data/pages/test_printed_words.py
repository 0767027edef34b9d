"""Words found without reading: their letters' height, the cheapest legible mode, the way up."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from deepseek_ocr.data.pages.auto_mode import choose_mode, small_letters, view_scale
from deepseek_ocr.data.pages.printed_words import find_words
from deepseek_ocr.data.pages.rotation import find_rotation
from deepseek_ocr.data.pages.sources import TURNS
from deepseek_ocr.data.synthetic import draw_page, load_fonts
from deepseek_ocr.resolution import MODES, view_settings

CHOICES = {mode: MODES[mode] for mode in ("tiny", "small", "base", "large", "gundam")}
X_HEIGHT_LETTERS = set("acemnorsuvwxz")
TEXT = "The quick brown fox jumps over the lazy dog and keeps going until the line is full"


@functools.cache
def page(kind: str, index: int, size: int) -> Image.Image:
    return draw_page(2, index, kind, size=size).image


def lines(
    x_height: int, *, width: int = 1000, height: int = 1400, count: int = 99, text: str = TEXT
) -> Image.Image:
    """A page of lines, the small letters of which are so many pixels tall."""
    face = load_fonts().proportional[0].face()
    size = next(s for s in range(4, 200) if -face.ink("x", s)[1] >= x_height)
    picture = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(picture)
    pitch = round(size * 1.4)
    words = text.split()
    for y in range(40, min(height - 40, 40 + count * pitch), pitch):
        words = words[3:] + words[:3]  # no line is like the next
        line = " ".join(words * 3)
        line = line[: int(len(line) * (width - 80) / face.width(line, size))]
        draw.text((40, y), line, fill="black", font=face.at(size))
    return picture


# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["book", "letters"])
@pytest.mark.parametrize("size", [700, 1400])
def test_the_height_of_small_letters_is_that_of_the_glyphs(kind, size):
    drawn = draw_page(1, 2, kind, size=size)
    heights = [g.box[3] - g.box[1] for g in drawn.glyphs if g.character in X_HEIGHT_LETTERS]
    words = find_words(drawn.image)
    assert np.median(words["band"]) == pytest.approx(np.median(heights), abs=1)
    assert small_letters(words) <= np.median(heights) + 1


@pytest.mark.parametrize("x_height", [4, 6, 9, 14, 30])
def test_it_is_measured_in_pixels_of_the_page(x_height):
    assert small_letters(find_words(lines(x_height))) == pytest.approx(x_height, abs=1)


def test_a_large_page_is_looked_at_smaller_and_measured_the_same():
    large = lines(10, height=700).resize((4000, 2800), Image.Resampling.BICUBIC)
    assert small_letters(find_words(large)) == pytest.approx(40, abs=3)


def test_shade_noise_and_white_print_on_black_change_little():
    plain = lines(10)
    shade = Image.linear_gradient("L").resize(plain.size).point(lambda v: 120 + v // 2)
    shaded = Image.composite(plain, Image.new("RGB", plain.size), shade)
    noise = Image.effect_noise(plain.size, 30).convert("RGB")
    noisy = Image.blend(plain, noise, 0.1).filter(ImageFilter.GaussianBlur(0.7))
    for changed in (shaded, noisy, ImageOps.invert(plain)):
        assert small_letters(find_words(changed)) == pytest.approx(10, abs=2)


@pytest.mark.parametrize("picture", [
    Image.new("RGB", (500, 700), "white"),
    Image.new("RGB", (500, 700), "black"),
    Image.new("RGB", (1, 1)),
    Image.new("RGB", (1, 3000), "white"),
    Image.radial_gradient("L").convert("RGB"),
])  # fmt: skip
def test_where_nothing_is_printed_no_word_is_found(picture):
    assert len(find_words(picture)) == 0
    assert find_rotation(picture) == 0


def test_rules_frames_and_figures_are_no_words():
    picture = Image.new("RGB", (800, 800), "white")
    draw = ImageDraw.Draw(picture)
    for place in range(50, 750, 50):
        draw.line((50, place, 750, place), "black", 2)
        draw.line((place, 50, place, 700), "black", 2)
    draw.ellipse((100, 100, 600, 600), "grey")
    assert len(find_words(picture)) == 0


# --- the mode -------------------------------------------------------------------------------------


@pytest.mark.parametrize("x_height, mode", [
    (40, "tiny"),  # 1400 pixels shrink to 512: 15 pixels are left
    (12, "small"),  # 5.5 of 640
    (8, "base"),  # 5.9 of 1024
    (6, "large"),  # 5.5 of 1280
    (5, "gundam"),
])  # fmt: skip
def test_the_cheapest_mode_in_which_the_letters_are_tall_enough(x_height, mode):
    assert choose_mode([lines(x_height, count=8)], CHOICES) == mode


def test_a_page_of_much_text_gets_more_tokens_than_one_of_a_few_lines():
    few, many = (lines(7, width=700, height=700, count=count) for count in (8, 99))
    assert choose_mode([few], CHOICES) == "tiny"
    assert choose_mode([many], CHOICES) == "small"


def test_capitals_and_digits_count_as_half_as_tall():
    capitals = lines(12, count=8, text="TOTAL 12 450 300 DUE 2024 EUR INVOICE NUMBER 88 121 AMOUNT")
    assert choose_mode([lines(12, count=8)], CHOICES) == "small"
    assert list(CHOICES).index(choose_mode([capitals], CHOICES)) >= 2


def test_a_small_picture_needs_no_mode_with_more_pixels_than_it_has():
    assert choose_mode([lines(4, width=500, height=400, count=3)], CHOICES) == "tiny"


def test_a_blank_page_is_cheap_and_what_is_not_understood_is_seen_finely():
    assert choose_mode([Image.new("RGB", (1000, 1400), "white")], CHOICES) == "tiny"
    photo = Image.effect_mandelbrot((1000, 1400), (-2, -1.5, 1, 1.5), 50).convert("RGB")
    assert choose_mode([photo], CHOICES) == "gundam"


def test_pages_that_are_seen_together_are_all_legible():
    assert choose_mode([lines(40, count=8), lines(8, count=8)], CHOICES) == "base"


def test_a_single_choice_is_taken_without_a_look():
    assert choose_mode([None], {"large": MODES["large"]}) == "large"
    assert choose_mode([], CHOICES) == "tiny"


def test_own_sizes_of_a_mode_count():
    large_tiny = {"tiny": view_settings("tiny", base_size=1280), "gundam": MODES["gundam"]}
    assert choose_mode([lines(8, count=8)], large_tiny) == "tiny"


@pytest.mark.parametrize(
    "mode, scale", [("tiny", 512 / 1400), ("base", 1024 / 1400), ("gundam", 1.28)]
)
def test_the_scale_is_that_of_the_finest_view(mode, scale):
    assert view_scale((1000, 1400), MODES[mode]) == pytest.approx(scale)


# --- the way up -----------------------------------------------------------------------------------


@pytest.mark.parametrize("turned", [0, 90, 180, 270])
@pytest.mark.parametrize(
    "kind, index", [("book", 0), ("letters", 1), ("invoices", 2), ("lists", 0)]
)
def test_a_page_is_turned_until_it_stands_upright(kind, index, turned):
    upright = page(kind, index, 1000)
    seen = upright.transpose(TURNS[turned]) if turned else upright
    assert (find_rotation(seen) + turned) % 360 == 0


def test_print_without_small_letters_is_not_turned_upside_down():
    capitals = lines(14, text="TOTAL 12 450 300 DUE 2024 EUR INVOICE NUMBER 88 121 AMOUNT")
    assert find_rotation(capitals) == 0
    assert find_rotation(capitals.transpose(TURNS[90])) in (90, 270)


def test_skewed_lines_are_lines():
    skewed = lines(12).rotate(3, fillcolor="white", resample=Image.Resampling.BICUBIC)
    assert find_rotation(skewed) == 0
    assert find_rotation(skewed.transpose(TURNS[90])) == 270


def test_real_scans_are_turned_right(shared):
    from deepseek_ocr.pictures import open_picture

    expected = {"phototest.tif": 0, "phototest-rotated-180.png": 180, "phototest-rotated-R.png": 270, "eurotext.tif": 0}  # fmt: skip
    folder = shared / "data" / "tesseract_test"
    assert {name: find_rotation(open_picture(folder / name)) for name in expected} == expected
