from __future__ import annotations

import functools
import io
import random
from itertools import combinations

import pytest
from PIL import Image

from deepseek_ocr.data.inspection.perceptual_hash import BLANK, perceptual_hash
from deepseek_ocr.data.synthetic import draw_page

NEAR_BITS = 4
KINDS = ("lines", "letters", "receipts", "tables")


@functools.cache
def drawn(kind: str) -> list[Image.Image]:
    return [draw_page(5, index, kind, size=1024).image.convert("RGB") for index in range(8)]


def differing(one: int, other: int) -> int:
    return (one ^ other).bit_count()


def as_jpeg(page: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    page.save(stream, "JPEG", quality=50)
    return Image.open(stream)


def smaller(page: Image.Image) -> Image.Image:
    return page.resize((page.width * 7 // 10, page.height * 7 // 10), Image.Resampling.LANCZOS)


def with_margins(page: Image.Image) -> Image.Image:
    larger = Image.new("RGB", (page.width + 90, page.height + 60), page.getpixel((0, 0)))
    larger.paste(page, (70, 15))
    return larger


def specked(page: Image.Image) -> Image.Image:
    copy, rng = page.convert("RGB"), random.Random(0)
    for _ in range(8):
        copy.putpixel((rng.randrange(page.width), rng.randrange(page.height)), (0, 0, 0))
    return copy


COPIES = [as_jpeg, smaller, with_margins, specked, lambda page: page.convert("L")]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("copied", COPIES)
def test_a_copy_of_a_page_looks_like_it(kind, copied):
    near = [
        differing(perceptual_hash(p), perceptual_hash(copied(p))) <= NEAR_BITS for p in drawn(kind)
    ]
    assert sum(near) >= len(near) - 1


@pytest.mark.parametrize("kind", KINDS)
def test_other_pages_of_one_kind_do_not(kind):
    hashes = [perceptual_hash(page) for page in drawn(kind)]
    assert min(differing(*pair) for pair in combinations(hashes, 2)) > NEAR_BITS


def test_where_the_content_lies_does_not_matter():
    page = drawn("tables")[0]
    hashes = set()
    for place in ((0, 0), (31, 7), (300, 200)):
        larger = Image.new("RGB", (page.width + 300, page.height + 200), page.getpixel((0, 0)))
        larger.paste(page, place)
        hashes.add(perceptual_hash(larger))
    assert max(differing(one, other) for one in hashes for other in hashes) <= NEAR_BITS


@pytest.mark.parametrize("colour", ["white", "black", (240, 230, 200)])
@pytest.mark.parametrize("size", [(1, 1), (1, 900), (40, 30), (1500, 2000)])
def test_a_page_without_ink_is_blank_whatever_its_colour(colour, size):
    assert perceptual_hash(Image.new("RGB", size, colour)) == BLANK


def test_a_few_specks_and_the_noise_of_a_scanner_are_no_ink():
    noisy = Image.effect_noise((800, 1000), 4).convert("RGB")
    assert perceptual_hash(specked(noisy)) == BLANK


def test_the_smallest_and_longest_pictures_have_a_hash():
    for size in ((2, 1), (1, 5000), (9000, 3)):
        picture = Image.new("L", size, 255)
        picture.paste(0, (0, 0, (size[0] + 1) // 2, (size[1] + 1) // 2))
        assert 0 < perceptual_hash(picture) < 1 << 64


def test_the_bits_are_the_same_on_every_machine():
    """Recorded; all that decides a bit is computed in whole numbers."""
    picture = Image.new("L", (400, 300), 255)
    for n in range(12):
        x, y = 37 * n % 350, 53 * n % 270
        picture.paste(17 * n, (x, y, x + 11 + n, y + 40 - n))
    assert f"{perceptual_hash(picture):016x}" == "c0e4706c2e7d9eaa"
