"""Pages worn for training: the same by seed, as large as before, nothing cut off, boxes kept true."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageDraw

from deepseek_ocr.data.augmentation import (
    GEOMETRY,
    LEAST_SCALE,
    WEAR,
    Augmentation,
    has_boxes,
    paper_of,
    parse_names,
)
from deepseek_ocr.errors import UsageError

ALL = tuple(WEAR)


def page(width=160, height=120, paper="white"):
    """Marks in all corners and some text."""
    image = Image.new("RGB", (width, height), paper)
    draw = ImageDraw.Draw(image)
    for x in (0, width - 6):
        for y in (0, height - 6):
            draw.rectangle((x, y, x + 5, y + 5), fill="black")
    draw.text((20, 40), "Total 9.50", fill="black", font_size=18)
    return image


def worn(name, strength=1.0, seed=0, image=None):
    return WEAR[name](image or page(), np.random.default_rng(seed), strength)


def same(one, other):
    return one.size == other.size and ImageChops.difference(one, other).getbbox() is None


@pytest.mark.parametrize("name", ALL)
def test_each_kind_changes_the_page_and_keeps_its_size(name):
    image = page()
    before = image.tobytes()
    result = worn(name, image=image)
    assert (result.mode, result.size) == ("RGB", image.size)
    assert not same(result, image)
    assert image.tobytes() == before  # the page that was given is not drawn on


@settings(max_examples=60)
@given(
    st.sampled_from(ALL), st.integers(1, 90), st.integers(1, 90), st.floats(0.01, 3), st.integers(0)
)
def test_pages_of_any_size_and_any_strength_can_be_worn(name, width, height, strength, seed):
    result = worn(name, strength, seed, Image.new("RGB", (width, height), (200, 190, 180)))
    assert (result.mode, result.size) == ("RGB", (width, height))


@pytest.mark.parametrize("size", [(3000, 2), (2, 3000), (70_000, 1)])
def test_very_long_pages_can_be_worn(size):
    for name in ALL:
        assert worn(name, 3.0, 1, Image.new("RGB", size, "white")).size == size


@pytest.mark.parametrize("name", ALL)
def test_the_same_seed_gives_the_same_page_and_another_another(name):
    pages = [worn(name, seed=seed) for seed in (5, 5, 6)]
    assert same(pages[0], pages[1])
    assert not same(pages[0], pages[2])


def dark(image):
    """How much ink a page bears: the sum of what is missing from white."""
    return 255 * image.width * image.height - int(np.asarray(image.convert("L"), dtype=int).sum())


@pytest.mark.parametrize("name", GEOMETRY)
@pytest.mark.parametrize("seed", range(8))
def test_geometry_cuts_nothing_off(name, seed):
    """What stood in the corners still stands there, smaller by as much as the page was."""
    image = page(240, 180)
    result = worn(name, 2.0, seed, image)
    assert dark(result) >= LEAST_SCALE**2 * 0.8 * dark(image)
    frame = Image.new("RGB", image.size, "white")
    frame.paste(image.crop((6, 6, 234, 174)), (6, 6))  # without the corners
    corners = dark(image) - dark(frame)
    lost = dark(result) - dark(worn(name, 2.0, seed, frame))
    assert lost > 0.6 * corners


def test_a_long_line_is_turned_less_so_that_it_stays_legible():
    line = Image.new("RGB", (1000, 40), "white")
    ImageDraw.Draw(line).rectangle((0, 0, 999, 39), fill="black")
    for seed in range(6):
        inked = ImageChops.invert(worn("rotation", 3.0, seed, line)).getbbox()
        assert inked[2] - inked[0] >= LEAST_SCALE * 1000 - 2


def test_what_lies_beyond_the_page_has_the_colour_of_its_paper():
    yellow = (240, 230, 200)
    image = page(paper=yellow)
    assert paper_of(image) == yellow
    for name in GEOMETRY:
        blank = worn(name, 2.0, 3, Image.new("RGB", (160, 120), yellow))
        assert np.abs(np.asarray(blank, dtype=int) - yellow).max() <= 1


def test_ink_thickens_strokes_or_thins_them():
    image = page()
    changes = {np.sign(dark(worn("ink", seed=seed)) - dark(image)) for seed in range(12)}
    assert changes == {-1, 1}


def test_a_page_depends_on_seed_epoch_row_and_picture_alone():
    image = page()
    wear = Augmentation(ALL, 1.0, seed=7)
    first = wear(image, epoch=1, row=3)
    assert same(wear(image, epoch=1, row=3), first)
    others = [
        wear(image, epoch=2, row=3),
        wear(image, epoch=1, row=4),
        wear(image, epoch=1, row=3, picture=1),
        dataclasses.replace(wear, seed=8)(image, epoch=1, row=3),
    ]
    assert not any(same(other, first) for other in others)


def test_some_pages_stay_clean_and_every_kind_comes_up(monkeypatch):
    met = []
    monkeypatch.setattr(
        "deepseek_ocr.data.augmentation.WEAR",
        {
            name: lambda image, stream, strength, name=name: met.append(name) or image
            for name in ALL
        },
    )
    image, counts = page(8, 8), []
    for row in range(400):
        before = len(met)
        Augmentation(ALL)(image, epoch=1, row=row)
        counts.append(len(met) - before)
    assert set(met) == set(ALL)
    assert 0.005 < counts.count(0) / 400 < 0.08
    assert 2.4 < sum(counts) / 400 < 3.2


def test_with_boxes_nothing_on_the_page_moves():
    image = page()
    wear = Augmentation(GEOMETRY, 3.0)
    assert all(same(wear(image, epoch=1, row=row, has_boxes=True), image) for row in range(30))
    assert not all(same(wear(image, epoch=1, row=row), image) for row in range(30))
    # the other kinds befall it as they would without boxes
    colours = Augmentation(tuple(name for name in ALL if name not in GEOMETRY))
    for row in range(10):
        boxed = Augmentation(ALL)(image, epoch=1, row=row, has_boxes=True)
        assert same(boxed, colours(image, epoch=1, row=row))


def test_boxes_are_found_in_prompt_and_answer():
    assert has_boxes("<image>\nOCR this image.", "<|ref|>a<|/ref|><|det|>[[1, 2, 3, 4]]<|/det|>")
    assert has_boxes("<image>\nRead <|det|>[[1, 2, 3, 4]]<|/det|>", "Total")
    assert not has_boxes("<image>\nFree OCR.", "Total")


@pytest.mark.parametrize(
    "text, names",
    [
        ("none", ()),
        ("all", ALL),
        ("noise", ("noise",)),
        ("jpeg, ink,noise,ink", ("ink", "noise", "jpeg")),
    ],
)
def test_names_are_put_in_the_order_in_which_they_happen(text, names):
    assert parse_names(text) == names


@pytest.mark.parametrize(
    "text, reason",
    [
        ("nois", "unknown name 'nois'; did you mean noise?"),
        ("noise,all", "unknown name 'all'"),
        ("xyzzy", "known: none, all, ink, paper"),
        ("", "no name given"),
        (",", "no name given"),
    ],
)
def test_unknown_names_are_wrong_usage(text, reason):
    with pytest.raises(UsageError, match=reason):
        parse_names(text)
