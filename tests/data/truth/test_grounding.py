from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.data.annotations import Region
from deepseek_ocr.data.problems import Problem
from deepseek_ocr.data.truth.grounding import (
    MAX_REGIONS,
    TAGS,
    from_grounding,
    parse_grounding,
    render_grounding,
    to_grounding,
)

from ..splitting.columns_of import sample

ONE = "<|ref|>title<|/ref|><|det|>[[1, 2, 3, 4]]<|/det|>"


def region(label="", box=(0, 0, 10, 10), text="", image=0):
    return Region(label=label, box=box, text=text, image=image)


@pytest.mark.parametrize(
    "box, width, height, on_grid",
    [
        ((0, 0, 999, 999), 999, 999, (0, 0, 999, 999)),
        ((0, 0, 640, 480), 640, 480, (0, 0, 999, 999)),
        ((100, 50, 320, 240), 640, 480, (156, 104, 500, 500)),
        ((10.5, 0.1, 11, 0.2), 100, 1, (105, 100, 110, 200)),
        ((-1, -0.5, 641, 481), 640, 480, (0, 0, 999, 999)),
    ],
)
def test_pixels_become_thousandths_of_the_page_rounded(box, width, height, on_grid):
    assert to_grounding(box, width, height) == on_grid


def test_the_grid_becomes_pixels_without_rounding():
    assert from_grounding((0, 1, 500, 999), 640, 1998) == (0, 2, 500 * 640 / 999, 1998)


def test_a_hundred_thousand_random_boxes_come_back_within_half_a_grid_step():
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 20_000, (100_000, 2)).tolist()
    corners = np.sort(rng.random((100_000, 2, 2)), axis=1)  # (boxes, first and last, x and y)
    for (width, height), ((x1, y1), (x2, y2)) in zip(sizes, corners.tolist(), strict=True):
        box = (x1 * width, y1 * height, x2 * width, y2 * height)
        on_grid = to_grounding(box, width, height)
        assert all(0 <= side <= 999 for side in on_grid)
        assert on_grid[0] <= on_grid[2] and on_grid[1] <= on_grid[3]
        back = from_grounding(on_grid, width, height)
        for place, (before, after) in enumerate(zip(box, back, strict=True)):
            assert abs(before - after) <= (width, height)[place % 2] / 999 / 2 + 1e-9
        assert to_grounding(back, width, height) == on_grid


def test_labelled_regions_are_written_as_the_model_writes_them():
    regions = (
        region("title", (0, 0, 50, 20), "# Report"),
        region("image", (0, 20, 50, 50)),
        region("text", (0, 50, 100, 200), "First line\nsecond line"),
    )
    row = sample("a.png", text="", regions=regions)
    assert render_grounding(row, 100, 200).text == (
        "<|ref|>title<|/ref|><|det|>[[0, 0, 500, 100]]<|/det|>\n# Report  \n\n"
        "<|ref|>image<|/ref|><|det|>[[0, 100, 500, 250]]<|/det|>  \n\n"
        "<|ref|>text<|/ref|><|det|>[[0, 250, 999, 999]]<|/det|>\nFirst line\nsecond line"
    )


def test_lines_without_a_label_stand_in_the_reference_themselves():
    regions = (region(text="TAN WOON YANN"), region(text="9.00", box=(90, 90, 100, 100)))
    assert render_grounding(sample("a.png", regions=regions), 100, 100).text == (
        "<|ref|>TAN WOON YANN<|/ref|><|det|>[[0, 0, 100, 100]]<|/det|>\n"
        "<|ref|>9.00<|/ref|><|det|>[[899, 899, 999, 999]]<|/det|>"
    )


@pytest.mark.parametrize(
    "images, regions, reason",
    [
        (("a.png",), (), "no regions"),
        (("a.png", "b.png"), (region("title"),), "2 pictures; --target grounding needs one"),
        ((), (region("title"),), "0 pictures"),
        (("a.png",), (region(" "),), "neither label nor text"),
        (("a.png",), (region("a", text="<|det|>"),), r"<\|det\|> stands in a region"),
        (("a.png",), (region(text="x<|/ref|>"),), r"<\|/ref\|> stands in a region"),
    ],
)
def test_a_sample_that_cannot_be_grounded_is_a_problem(images, regions, reason):
    problem = render_grounding(sample(*images, regions=regions), 10, 10)
    assert isinstance(problem, Problem) and problem.source == "f:1"
    assert re.search(reason, problem.reason)


words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).map(str.strip)
names = words.filter(bool)
boxes = st.tuples(*[st.integers(0, 999)] * 4).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)


@given(
    st.lists(
        st.one_of(
            st.builds(region, label=names, box=boxes, text=words),
            st.builds(region, box=boxes, text=names),
        ),
        min_size=1,
        max_size=8,
    ).filter(lambda rs: not any(tag in r.label + r.text for r in rs for tag in TAGS))
)
def test_what_is_written_is_parsed_back(regions):
    rendered = render_grounding(sample("a.png", regions=tuple(regions)), 999, 999)
    found = parse_grounding(rendered.text, 999, 999)
    assert [r.box for r in found] == [r.box for r in regions]
    expected = [(r.label or r.text, r.text if r.label else "") for r in regions]
    assert [(r.label, r.text) for r in found] == [(a.strip(), b) for a, b in expected]


def test_several_boxes_of_one_label_are_regions_of_which_the_first_has_the_text():
    text = "<|ref|>text<|/ref|><|det|>[[0, 0, 999, 999], [1,2,3,4] ]<|/det|>\nHello  \n\n"
    assert parse_grounding(text, 999, 999) == (
        region("text", (0, 0, 999, 999), "Hello"),
        region("text", (1, 2, 3, 4)),
    )


@pytest.mark.parametrize(
    "boxes, found",
    [
        ("[[1, 2, 3, 4]]", 1),
        (" [ [ 1 ,2,\n3, 4 ] ] ", 1),
        ("[1, 2, 3, 4]", 1),
        ("[[1, 2, 3, 4], [5, 6, 7]]", 1),
        ("[[1, 2, 3, 4], [-5, 6, 7, 8]]", 1),
        ("[[1, 2, 3]]", 0),
        ("[[1, 2, 3, 4, 5]]", 0),
        ("[[1.5, 2, 3, 4]]", 0),
        ("[[-1, 2, 3, 4]]", 0),
        ("[[1, 2, 3, 1000]]", 0),
        ("[[1, 2, 3, " + "9" * 400 + "]]", 0),
        ("[[3, 2, 1, 4]]", 0),
        ("[[1, 4, 3, 2]]", 0),
        ("[[٠, ١, ٢, ٣]]", 0),
        ("[[1e2, 2, 3, 4]]", 0),
        ("__import__('os').system('true')", 0),
        ("[[" * 1000, 0),
        ("", 0),
    ],
)
def test_only_four_whole_numbers_on_the_grid_are_a_box(boxes, found):
    text = f"<|ref|>a<|/ref|><|det|>{boxes}<|/det|>"
    assert len(parse_grounding(text, 10, 10)) == found


@pytest.mark.parametrize(
    "text, labels",
    [
        ("", []),
        ("no tags at all [[1, 2, 3, 4]]", []),
        (ONE, ["title"]),
        (f"<|ref|>{ONE}", ["title"]),
        (f"{ONE}<|/det|>", ["title"]),
        ("<|ref|>a<|/ref|>x<|det|>[[1, 2, 3, 4]]<|/det|>", []),
        ("<|ref|>a<|/ref|> \n<|det|>[[1, 2, 3, 4]]<|/det|>", ["a"]),
        ("<|ref|>a<|det|>[[1, 2, 3, 4]]<|/det|><|/ref|>", []),
        ("<|ref|>a<|/ref|><|det|>[[1, 2, 3, 4]]", []),
        ("<|REF|>a<|/REF|><|det|>[[1, 2, 3, 4]]<|/det|>", []),
    ],
)
def test_only_the_four_tags_in_their_order_make_a_region(text, labels):
    assert [found.label for found in parse_grounding(text, 10, 10)] == labels


pieces = st.lists(
    st.sampled_from([*TAGS, "a", "\n", " ", "[", "]", "[[1, 2, 3, 4]]", "12,", "-", "999", "<|"]),
    max_size=40,
).map("".join)


@given(st.one_of(pieces, st.text()), st.integers(1, 5000), st.integers(1, 5000))
def test_whatever_a_model_writes_is_parsed_to_boxes_inside_the_page(text, width, height):
    for found in parse_grounding(text, width, height):
        x1, y1, x2, y2 = found.box
        assert 0 <= x1 <= x2 <= width and 0 <= y1 <= y2 <= height
        assert found.label in text and found.text in text


@pytest.mark.parametrize(
    "piece",
    [
        *TAGS,
        ONE,
        "<|ref|>a<|/ref|><|det|>",
        "<|ref|>a<|/ref|><|det|>[[1, 2, 3, 4], ",
        "<|ref|><|/ref|> ",
        "[[1, 2, 3, ",
        " ",
        "<|",
    ],
)
def test_hostile_answers_end_soon_with_a_bounded_number_of_regions(piece):
    """So long that a scan that goes over its text again and again would not end today."""
    assert len(parse_grounding(piece * 300_000, 10, 10)) <= MAX_REGIONS
