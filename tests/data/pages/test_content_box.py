from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from deepseek_ocr.data.pages.content_box import MOST_MARGIN, content_box, cut_to_content

boxes = st.tuples(st.integers(0, 90), st.integers(0, 60), st.integers(1, 30), st.integers(1, 20))
colours = st.sampled_from([("white", "black"), ("black", "white"), ("ivory", (200, 0, 0))])


@given(boxes, colours)
def test_the_box_is_that_of_the_ink_on_any_paper(box, colour):
    x, y, width, height = box
    paper, ink = colour
    page = Image.new("RGB", (200, 120), paper)
    page.paste(ink, (x, y, x + width, y + height))
    assert content_box(page) == (x, y, x + width, y + height)


@given(boxes)
def test_a_cut_page_holds_all_ink_and_little_else(box):
    x, y, width, height = box
    page = Image.new("RGB", (200, 120), "white")
    page.paste("black", (x, y, x + width, y + height))
    cut = cut_to_content(page)
    left, top, right, bottom = content_box(cut)
    assert (right - left, bottom - top) == (width, height)
    assert max(left, top, cut.width - right, cut.height - bottom) <= MOST_MARGIN


def test_noise_of_the_paper_is_no_ink_and_a_blank_page_stays_whole():
    page = Image.effect_noise((100, 80), 3).convert("RGB")
    assert content_box(page) is None
    assert cut_to_content(page).size == (100, 80)


def test_a_formula_on_a_whole_page_is_cut_out(shared):
    folder = shared / "data" / "im2latex_formulas" / "images"
    from deepseek_ocr.data.pages.loading import load_page

    for path in sorted(folder.iterdir())[:3]:
        whole, cut = load_page(folder, path.name), load_page(folder, f"{path.name}#crop=content")
        assert whole.size == (1654, 2339)
        assert cut.width < 1500 and cut.height < 500 and content_box(cut)
