from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from deepseek_ocr.reading.drawn_boxes import MAX_DRAWN, TINT, colour_of, with_boxes
from deepseek_ocr.reading.figures import MAX_FIGURES, MOST_OF_PAGE, cut_figures, figure_boxes
from deepseek_ocr.reading.markdown import page_markdown
from deepseek_ocr.reading.markup import parse_answer
from deepseek_ocr.reading.regions import Region

from .answers import PAGE, boxed

SIZE = (999, 1998)


def noise(size=SIZE) -> Image.Image:
    width, height = size
    return Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    )


def test_figures_are_cut_out_of_the_page_to_the_pixel():
    page = noise()
    figures = dict(cut_figures(parse_answer(PAGE, SIZE), page, number=12))
    assert list(figures) == ["p0012-1.png", "p0012-2.png"]
    assert (np.asarray(figures["p0012-1.png"]) == np.asarray(page)[500:800, 100:400]).all()


def test_only_pictures_of_a_document_are_figures():
    assert figure_boxes(parse_answer(boxed("text", (1, 2, 3, 4)) + "\nx", SIZE)) == []
    prompt = "<image>\n<|grounding|>OCR this image."
    assert figure_boxes(parse_answer(boxed("image", (1, 2, 3, 4)), SIZE, prompt=prompt)) == []
    located = "<image>\nLocate <|ref|>image<|/ref|> in the image."
    assert figure_boxes(parse_answer(boxed("image", (1, 2, 3, 4)), SIZE, prompt=located)) == []
    assert len(figure_boxes(parse_answer(boxed("Chart", (1, 2, 3, 4)) + "\nx", SIZE))) == 1


def test_figures_without_end_are_capped():
    assert len(figure_boxes(parse_answer(boxed("image", (1, 2, 3, 4)) * 999, SIZE))) == MAX_FIGURES
    whole = boxed("image", (0, 0, 999, 999)) * 999
    assert len(figure_boxes(parse_answer(whole, SIZE))) == MOST_OF_PAGE
    assert page_markdown(parse_answer(whole, SIZE)).count("![](") == MOST_OF_PAGE


def test_the_name_of_a_figure_is_ours_whatever_its_label():
    answer = parse_answer(boxed("image", (1, 2, 300, 400)) + "\n../../etc/passwd", SIZE)
    assert [name for name, _ in cut_figures(answer, noise())] == ["p0001-1.png"]


def test_a_page_of_another_size_is_refused():
    with pytest.raises(ValueError, match="leaves a page of 10 x 10 pixels"):
        list(cut_figures(parse_answer(PAGE, SIZE), noise((10, 10))))


def test_boxes_are_drawn_where_the_regions_are():
    page = Image.new("RGB", (200, 200), "white")
    drawn = np.asarray(with_boxes(page, [Region(label="text", box=(50, 60, 150, 160))]))
    assert tuple(drawn[100, 50]) == tuple(drawn[159, 100]) == colour_of("text")
    share = TINT / 255
    tinted = [255 * (1 - share) + side * share for side in colour_of("text")]
    assert np.allclose(drawn[100, 100], tinted, atol=2)
    assert (drawn[100, 160] == 255).all() and (drawn[170, 100] == 255).all()
    assert (np.asarray(page) == 255).all()  # the page itself is left alone


def test_any_label_and_any_number_of_boxes_can_be_drawn():
    labels = ["", "x" * 9999, "a\nb", "漢字 שלום", "\ud800", "<script>"]
    regions = [Region(label=label, box=(0, 0, 1, 1)) for label in labels]
    regions += [Region(label="text", box=(0, 0, 20, 10))] * (MAX_DRAWN + 1)
    assert with_boxes(Image.new("RGB", (20, 10)), regions).size == (20, 10)
