from __future__ import annotations

import io
import itertools
import unicodedata

import numpy as np
import pypdfium2 as pdfium
import pytest
from fontTools.ttLib import TTFont  # comes with matplotlib
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from deepseek_ocr.data.pages.sources import PageSource
from deepseek_ocr.data.synthetic.fonts import load_fonts
from deepseek_ocr.errors import PageError
from deepseek_ocr.reading.invisible_font import font_program
from deepseek_ocr.reading.opening import open_page
from deepseek_ocr.reading.pdf_file import encoded
from deepseek_ocr.reading.results import ReadPage
from deepseek_ocr.reading.searchable_pdf import (
    SearchablePdf,
    points_a_pixel,
    write_searchable_pdf,
)
from deepseek_ocr.reading.text_lines import TextLine

from .pdf_files import lines_of, pdf_of

SIZE = (800, 1000)
LINES = ("The quick brown fox jumps over", "the lazy dog and runs away. It is", "not a big deal.")


def drawn() -> Image.Image:
    picture = Image.new("RGB", SIZE, "white")
    draw, font = ImageDraw.Draw(picture), load_fonts().plainest.families[0].face().at(28)
    for number, line in enumerate(LINES):
        draw.text((100, 200 + 45 * number), line, fill="black", font=font)
    return picture


def answer(text: str, box=(100, 190, 620, 335)) -> str:
    sides = zip(box, SIZE * 2, strict=True)
    on_grid = [round(999 * side / whole) for side, whole in sides]
    return f"<|ref|>text<|/ref|><|det|>[{on_grid}]<|/det|>\n{text}"


def page(text="", number=1, status="ok", reason="") -> ReadPage:
    return ReadPage(
        number=number, status=status, reason=reason, text=text, width=SIZE[0], height=SIZE[1]
    )


def document(*pages: ReadPage, picture=None) -> pdfium.PdfDocument:
    return pdfium.PdfDocument(pdf_bytes(*pages, picture=picture))


def pdf_bytes(*pages: ReadPage, picture=None, title="a.pdf") -> bytes:
    def opened(page: ReadPage) -> Image.Image:
        if page.status == "failed" and "open" in page.reason:
            raise PageError(page.reason)
        return picture or drawn()

    file = io.BytesIO()
    write_searchable_pdf(file, pages, open_picture=opened, title=title)
    return file.getvalue()


def text_of(pdf: pdfium.PdfDocument, number=1) -> str:
    return pdf[number - 1].get_textpage().get_text_range().replace("\r\n", "\n")


def set_lines(*lines: TextLine, size=SIZE) -> pdfium.PdfDocument:
    file = io.BytesIO()
    pdf = SearchablePdf(file)
    pdf.add_page(Image.new("RGB", size, "white"), lines)
    pdf.finish()
    return pdfium.PdfDocument(file.getvalue())


def pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.convert("RGB"), dtype=np.int16)


def shown(pdf: pdfium.PdfDocument) -> Image.Image:
    width = pdf[0].get_size()[0]
    return pdf[0].render(scale=SIZE[0] / width).to_pil().convert("RGB").resize(SIZE)


def test_the_page_looks_like_its_picture_and_its_text_can_be_copied():
    pdf = document(page(answer(" ".join(LINES))))
    assert text_of(pdf) == "\n".join(LINES)
    assert np.abs(pixels(shown(pdf)) - pixels(drawn())).mean() < 1


def test_a_word_is_found_where_it_stands():
    pdf = document(page(answer(" ".join(LINES))))
    width, height = pdf[0].get_size()
    texts = pdf[0].get_textpage()
    start, count = texts.search("lazy dog").get_next()
    boxes = [texts.get_charbox(place, loose=True) for place in (start, start + count - 1)]
    left, right = (side / width * SIZE[0] for side in (boxes[0][0], boxes[1][2]))
    top, bottom = ((height - side) / height * SIZE[1] for side in (boxes[0][3], boxes[0][1]))
    face = load_fonts().plainest.families[0].face()
    true_left = 100 + face.width("the ", 28)
    true_right = 100 + face.width("the lazy dog", 28)
    assert abs(left - true_left) < 25 and abs(right - true_right) < 25
    assert 240 < top < bottom < 290


@pytest.mark.parametrize(
    "text",
    [
        "Ünïcödé “quotes” – € ½ ﬁ",
        "漢字かな 한국어 ไทย",
        "😀 𝒜 𠀀",
        "שלום עולם",
        "مرحبا بالعالم",
        "מחיר 1,250 שח",
        "(a) [b] {c} \\ / %",
        "x" * 30_000,
    ],
)
def test_text_of_any_script_comes_back(text):
    box = (50, 100, 750, 140)
    found = text_of(set_lines(TextLine(text, box), TextLine("next", (50, 300, 90, 340))))
    # a reader may spell ligatures out and order marks anew
    assert unicodedata.normalize("NFKC", found) == unicodedata.normalize("NFKC", f"{text}\nnext")


def test_a_line_fills_its_box():
    pdf = set_lines(TextLine("fills", (200, 300, 600, 350)))
    width, height = pdf[0].get_size()
    texts = pdf[0].get_textpage()
    first, last = texts.get_charbox(0, loose=True), texts.get_charbox(4, loose=True)
    assert first[0] / width * 800 == pytest.approx(200, abs=2)
    assert last[2] / width * 800 == pytest.approx(600, abs=2)
    assert (height - first[1]) / height * 1000 == pytest.approx(350, abs=2)
    assert (height - first[3]) / height * 1000 == pytest.approx(300, abs=2)


def test_every_page_keeps_its_place_whatever_failed():
    pages = [
        page(answer("one")),
        page(number=2, status="failed", reason="a.pdf#page=2: cannot be opened – é"),
        page(number=3, status="failed", reason="no room"),
        page(answer("four"), number=4),
    ]
    pdf = document(*pages)
    assert [text_of(pdf, number) for number in (1, 3, 4)] == ["one", "", "four"]
    noted = " ".join(text_of(pdf, 2).split())
    assert noted == "Page 2 could not be read: a.pdf#page=2: cannot be opened – é"
    assert (np.asarray(pdf[1].render().to_pil().convert("L")) < 128).any()  # it can be seen


def test_a_page_that_was_read_and_cannot_be_opened_is_no_page():
    def gone(page):
        raise PageError("a.pdf: does not exist")

    with pytest.raises(PageError, match="does not exist"):
        write_searchable_pdf(io.BytesIO(), [page("x")], open_picture=gone)


def test_a_document_without_pages_is_still_one():
    assert len(document()) == 1


def test_the_same_pages_give_the_same_bytes():
    assert pdf_bytes(page(answer("one"))) == pdf_bytes(page(answer("one")))


def test_the_title_is_the_documents():
    pdf = pdfium.PdfDocument(pdf_bytes(page(), title="ü (x) \\ 漢.pdf"))
    assert pdf.get_metadata_dict()["Title"] == "ü (x) \\ 漢.pdf"
    assert "CreationDate" not in {k for k, v in pdf.get_metadata_dict().items() if v}


def test_pages_of_two_tones_are_kept_without_loss_and_grey_ones_as_grey():
    two_tones = Image.fromarray(
        np.where(np.random.default_rng(0).random((100, 90)) < 0.5, 0, 255).astype(np.uint8)
    ).convert("RGB")
    file = io.BytesIO()
    pdf = SearchablePdf(file)
    pdf.add_page(two_tones, [])
    pdf.finish()
    (found,) = pdfium.PdfDocument(file.getvalue())[0].get_objects()
    assert (pixels(found.get_bitmap().to_pil()) == pixels(two_tones)).all()
    grey = Image.new("RGB", SIZE, (120, 120, 120))
    assert b"/DeviceGray" in pdf_bytes(page(), picture=grey)
    assert b"/DeviceRGB" in pdf_bytes(page(), picture=Image.new("RGB", SIZE, "red"))


def test_a_page_is_written_before_the_next_is_opened():
    class Counting(io.BytesIO):
        pass

    file, sizes = Counting(), []

    def opened(page):
        sizes.append(len(file.getvalue()))
        return drawn()

    write_searchable_pdf(file, (page(number=n) for n in range(1, 4)), open_picture=opened)
    assert all(after - before > 5000 for before, after in itertools.pairwise(sizes))


@pytest.mark.parametrize(
    "size, dpi, points",
    [
        ((1654, 2339), None, 842),
        ((850, 1100), 100, 792),
        ((20_000, 100), None, 842),
        ((1, 1), None, 842),
    ],
)
def test_a_page_is_as_large_as_its_paper(size, dpi, points):
    picture = Image.new("1", size)
    assert max(size) * points_a_pixel(picture, dpi) == pytest.approx(points)


def test_a_picture_that_says_how_large_it_is_is_believed_within_reason():
    picture = Image.new("1", (600, 300))
    picture.info["dpi"] = (300, 300)
    assert points_a_pixel(picture) == pytest.approx(72 / 300)
    for nonsense in (1, 72, 96, 1e9):
        picture.info["dpi"] = (nonsense, nonsense)
        assert points_a_pixel(picture) == pytest.approx(842 / 600)
    assert 600 * points_a_pixel(picture, 1) <= 14_400


@pytest.mark.parametrize("paper", [(612, 792), (842, 595), (200, 300)])
def test_a_page_of_a_pdf_stays_as_large_as_it_was(paper, tmp_path):
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf_of([lines_of("abc")], size=paper))
    small = tuple(round(side / 3) for side in paper)
    picture = open_page(PageSource(path=path, name="a.pdf"), size=small)
    file = io.BytesIO()
    pdf = SearchablePdf(file)
    pdf.add_page(picture, [])
    pdf.finish()
    assert pdfium.PdfDocument(file.getvalue())[0].get_size() == pytest.approx(paper, abs=3)


def test_a_scan_stays_as_large_as_it_says(tmp_path):
    path = tmp_path / "a.tif"
    Image.new("1", (300, 600)).save(path, dpi=(150, 150))
    picture = open_page(PageSource(path=path, name="a.tif"))
    assert points_a_pixel(picture) == pytest.approx(72 / 150)


def test_the_font_is_one():
    font = TTFont(io.BytesIO(font_program()), checkChecksums=2)
    assert font["maxp"].numGlyphs == 2
    assert {width for width, _ in font["hmtx"].metrics.values()} == {500}


@pytest.mark.parametrize(
    "value, written",
    [
        ({"A": [1, 2.5, b"\x00a"]}, b"<< /A [1 2.5 <0061>] >>"),
        (1e-9, b"0"),
        (1e9, b"1000000000"),
        (-0.25, b"-0.25"),
    ],
)
def test_values_are_written_as_pdf_writes_them(value, written):
    assert encoded(value) == written


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20),
            st.tuples(
                st.integers(0, 700), st.integers(0, 900), st.integers(1, 99), st.integers(1, 99)
            ),
        ),
        max_size=4,
    )
)
def test_any_text_anywhere_makes_a_file_that_opens(lines):
    placed = [TextLine(text, (x, y, x + w, y + h)) for text, (x, y, w, h) in lines]
    pdf = set_lines(*placed)
    assert len(pdf) == 1
    text_of(pdf)
