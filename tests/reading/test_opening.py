"""Documents opened in a child: every trap of ../shared, pixels as a person sees them, misfortunes."""

from __future__ import annotations

import io
import resource
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageStat

from deepseek_ocr.data.pages.sources import PageSource
from deepseek_ocr.errors import PageError
from deepseek_ocr.inference import cutting
from deepseek_ocr.inference.cutting import Cutter
from deepseek_ocr.reading import opening
from deepseek_ocr.reading.documents import Document
from deepseek_ocr.reading.opening import count_pages, open_page
from deepseek_ocr.resolution import view_settings
from tests.reading.pdf_files import lines_of, pdf_of, square_of

GREY = (127, 127, 127)
TINY = {"tiny": view_settings("tiny")}

DAMAGED_PDF = "the PDF is damaged or has no pages"
NO_PICTURE = "not a picture of a known format; expected PNG, JPEG, WEBP, TIFF, BMP, GIF"
CUT_SHORT = "the picture is cut short"
NO_AREA = "the page has no area"

EXPECTED = {  # size and mean grey of each page (of PDFs: drawn 512 pixels long), or why it fails
    "032270.pdf": [((396, 512), 240)],
    "DA-1p.heic": NO_PICTURE,
    "EmptyPdf.pdf": [((362, 512), 255)],
    "aspect.pdf": [((512, 410), 224)],  # 200 x 100 dpi
    "baiona_alpha.png": [((640, 682), 240)],  # transparent, on white
    "basn0g16.png": [((32, 32), 144)],  # 16 bits, not clipped
    "boundingBox_invalid.pdf": [((396, 512), 254), ((512, 384), 253), NO_AREA],
    "broken.png": "the picture is damaged",
    "crash-0da013a13571cc8eb457a39fee8db18f8a3c7127.tif": [((218, 84), 255)],
    "cropped-and-rotated.pdf": [((512, 261), 252)],
    "decompression_bomb.gif": "too large to decode",
    "delay.png": [((128, 64), 76)],  # an animation: its first picture
    "empty#hash.pdf": [((396, 512), 255)],
    "empty.pdf": DAMAGED_PDF,
    "g4_orientation_6.tif": [((590, 88), 227)],  # turned once
    "helloworld-bad.pdf": [((512, 512), 254)],
    "hopper-XYZ.png": [((128, 128), 85)],
    "hopper_bigtiff.tif": [((128, 128), 85)],
    "hopper_naxis_zero.fits": NO_PICTURE,
    "hopper_orientation_5.webp": [((128, 128), 85)],
    "hugemono.pdf": [((512, 512), 255)],
    "invalid.pdf": DAMAGED_PDF,
    "invisible_text_layer.pdf": [((396, 512), 255)],
    "iss634.gif": [((245, 245), 131)],
    "junk_jpeg_header.jpg": [((1024, 768), 116)],
    "lab.tif": [((10, 10), 255)],
    "layout-parser-paper-combined.tiff": [((612, 792), 246), ((791, 1024), 242)],
    "leading-junk.pdf": [((396, 512), 255)] * 30,
    "multipage.tiff": [((10, 10), 75), ((10, 10), 76), ((20, 20), 29)],
    "negative_size.ppm": NO_PICTURE,
    "no_contents.pdf": [((512, 512), 255)],
    "no_rows_per_strip.tif": [((950, 975), 12), ((950, 975), 0), ((950, 975), 255)],
    "p_trns_single.png": [((64, 64), 160)],
    "pages-kids-not-page.pdf": [((396, 512), 255)],
    "pages-loop.pdf": [((396, 512), 255)],
    "pil_sample_cmyk.jpg": [((100, 100), 13)],
    "poppler-395-0-fuzzed.pdf": DAMAGED_PDF,
    "portrait_6.jpg": [((450, 600), 100)],  # turned by its EXIF
    "r3-user-password.pdf": "the PDF needs a password",
    "r6-empty-password.pdf": [((363, 512), 255)],
    "rgb-16-linear-tRNS.png": [((256, 256), 128)],
    "rotated_skew.pdf": [((396, 512), 233)],
    "rotation.pdf": [((396, 512), 255), ((512, 396), 254)],
    "sizes.pdf": [((396, 512), 255), ((512, 255), 254), ((512, 396), 255)],
    "sugarshack.mpo": [((640, 480), 111)],
    "test-card-lossy-tiled.jp2": NO_PICTURE,
    "tiff_strip_cmyk_jpeg.tif": [((100, 100), 13)],
    "transparent_background_text.png": [((300, 100), 255)],  # its letters are white
    "truncated_image.png": [CUT_SHORT],
    "truncated_jpeg.jpg": [CUT_SHORT],
    "xref_command_missing.pdf": [((512, 128), 243)],
    "zero-pages-qpdf.pdf": DAMAGED_PDF,
}


def document(path: Path) -> Document:
    return Document(source=path.name, path=path, name=path.name)


def source(path: Path, page: int = 1, **options) -> PageSource:
    return PageSource(path=path, name=path.name, page=page, **options)


@pytest.fixture(scope="module")
def odd_inputs(shared):
    return shared / "data" / "odd_inputs"


def test_the_table_is_that_of_the_folder(odd_inputs):
    found = {path.name for path in odd_inputs.iterdir()} - {"SOURCES.md"}
    assert found == set(EXPECTED) and len(found) == 52


@pytest.mark.parametrize("name", EXPECTED)
def test_every_page_opens_as_it_should_or_says_why_not(odd_inputs, name):
    path, expected = odd_inputs / name, EXPECTED[name]
    if isinstance(expected, str):
        with pytest.raises(PageError) as error:
            count_pages(document(path))
        assert str(error.value).startswith(f"{name}: {expected}") and "\n" not in str(error.value)
        return
    assert count_pages(document(path)) == len(expected)
    for number, page in enumerate(expected, start=1):
        if isinstance(page, str):
            with pytest.raises(PageError) as error:
                open_page(source(path, number), size=(512, 512))
            assert str(error.value).startswith(f"{source(path, number)}: {page}")
            continue
        picture = open_page(source(path, number), size=(512, 512))
        assert (picture.mode, picture.size) == ("RGB", page[0])
        grey = ImageStat.Stat(picture.convert("L")).mean[0]
        assert round(grey) == pytest.approx(page[1], abs=1)


def test_nothing_of_it_takes_much_memory(odd_inputs):
    """Every child of this process that has ended: the largest took less than 2 GB."""
    for name in EXPECTED:
        try:
            count_pages(document(odd_inputs / name))
            open_page(source(odd_inputs / name), size=(1920, 1920))
        except PageError:
            pass
    opening._OPENER.close()
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 2 << 20  # KiB


def test_every_pdf_of_the_shared_data_has_its_pages(shared):
    paths = sorted((shared / "data").rglob("*.pdf"))
    unread = {name for name, expected in EXPECTED.items() if isinstance(expected, str)}
    counts = {}
    for path in paths:
        try:
            counts[path.name] = count_pages(document(path))
        except PageError:
            assert path.name in unread, path
    assert len(counts) >= 60
    known = {"pdflatex-4-pages.pdf": 4, "minimal-document.pdf": 1, "leading-junk.pdf": 30}
    assert {name: counts[name] for name in known} == known


# --- as a person sees them, by pixels -------------------------------------------------------------


def saved(folder: Path, name: str, picture: Image.Image, **options) -> Path:
    path = folder / name
    picture.save(path, **options)
    return path


def letter() -> Image.Image:
    """Dark marks that look different turned in any way."""
    picture = Image.new("L", (40, 60), 255)
    picture.paste(0, (5, 5, 12, 55))
    picture.paste(0, (5, 5, 35, 12))
    picture.paste(90, (20, 30, 30, 40))
    return picture


def assert_same(found: Image.Image, expected: Image.Image, tolerance: int = 2) -> None:
    assert found.mode == "RGB" and found.size == expected.size
    difference = ImageChops.difference(found, expected.convert("RGB"))
    assert max(high for _, high in difference.getextrema()) <= tolerance


def as_16_bits(picture: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(picture, np.uint16) * 257)


def on_transparent(picture: Image.Image) -> Image.Image:
    """Black ink, and nothing where the paper was."""
    ink = Image.new("RGBA", picture.size, (0, 0, 0, 255))
    ink.putalpha(ImageChops.invert(picture))
    return ink


FORMATS = {
    "grey.png": (lambda p: p, {}),
    "16 bits.png": (as_16_bits, {}),
    "16 bits.tif": (as_16_bits, {}),
    "alpha.png": (on_transparent, {}),
    "alpha.webp": (on_transparent, {"lossless": True}),
    "palette.png": (lambda p: p.convert("P"), {}),
    "palette.gif": (lambda p: p.convert("P"), {}),
    "cmyk.tif": (lambda p: p.convert("RGB").convert("CMYK"), {}),
    "float.tif": (lambda p: Image.fromarray(np.asarray(p, np.float32) / 255), {}),
    "colour.bmp": (lambda p: p.convert("RGB"), {}),
}


@pytest.mark.parametrize("name", FORMATS)
def test_pixels_are_those_that_a_person_sees(tmp_path, name):
    change, options = FORMATS[name]
    path = saved(tmp_path, name, change(letter()), **options)
    assert_same(open_page(source(path)), letter())


def test_one_bit_is_black_and_white(tmp_path):
    flat = letter().point(lambda value: 255 * (value > 128))
    assert_same(open_page(source(saved(tmp_path, "a.png", flat.convert("1")))), flat)
    assert_same(open_page(source(saved(tmp_path, "a.tif", flat.convert("1"), compression="group4"))), flat)  # fmt: skip


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp", "a.jpg"])
def test_each_way_a_camera_is_held_gives_the_same_page(tmp_path, name, orientation):
    turned = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = letter().transpose(turned[orientation]) if orientation > 1 else letter()
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if name.endswith("webp") else {"quality": 100}
    path = saved(tmp_path, name, stored, exif=exif, **options)
    assert_same(open_page(source(path)), letter(), tolerance=60 if name.endswith("jpg") else 2)


def test_the_frames_of_a_tiff_are_pages_in_order_and_those_of_an_animation_are_not(tmp_path):
    frames = [Image.new("L", (20 + n, 30), 50 * n) for n in range(5)]
    tiff = saved(tmp_path, "a.tif", frames[0], save_all=True, append_images=frames[1:])
    assert count_pages(document(tiff)) == 5
    for number in (5, 1, 3, 3, 2, 4):
        assert_same(open_page(source(tiff, number)), frames[number - 1])
    shown = [frame.resize((20, 30)) for frame in frames]
    for name in ("a.gif", "a.webp", "a.apng.png"):
        options = {"lossless": True} if name.endswith("webp") else {}
        path = saved(tmp_path, name, shown[1], save_all=True, append_images=shown[2:], **options)
        assert count_pages(document(path)) == 1
        assert_same(open_page(source(path)), shown[1])


def test_a_file_is_what_it_holds_whatever_its_name_says(tmp_path):
    pdf = pdf_of([square_of(0), square_of(1)])
    for name in ("stdin", "a.png", "a.PDF"):
        (tmp_path / name).write_bytes(b"junk" * 100 + pdf if name == "stdin" else pdf)
        assert count_pages(document(tmp_path / name)) == 2
    picture = io.BytesIO()
    letter().save(picture, "TIFF")
    (tmp_path / "b.pdf").write_bytes(picture.getvalue())
    assert_same(open_page(source(tmp_path / "b.pdf")), letter())


def test_a_password_opens_what_is_encrypted(odd_inputs):
    locked = odd_inputs / "r3-user-password.pdf"
    assert count_pages(document(locked), password="asdfzxcv") == 1
    page = open_page(source(locked, password="asdfzxcv"), size=(512, 512))
    assert ImageStat.Stat(page.convert("L")).extrema[0][0] < 128
    with pytest.raises(PageError, match="needs another password than the one that was given"):
        count_pages(document(locked), password="no")
    assert "asdfzxcv" not in repr(source(locked, password="asdfzxcv"))


def test_what_is_filled_into_a_form_is_drawn(tmp_path):
    (tmp_path / "form.pdf").write_bytes(form_pdf())
    page = open_page(source(tmp_path / "form.pdf"), size=(200, 200)).convert("L")
    assert page.crop((60, 60, 140, 140)).getextrema() == (0, 0)
    assert page.getpixel((10, 10)) == 255


def form_pdf() -> bytes:
    """A page with one text field, whose appearance is a black square."""
    from tests.reading.pdf_files import assembled

    appearance = b"0 g 0 0 100 100 re f"
    return assembled(
        [
            b"<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields[4 0 R]>>>>",
            b"<</Type/Pages/Count 1/Kids[3 0 R]/MediaBox[0 0 200 200]>>",
            b"<</Type/Page/Parent 2 0 R/Annots[4 0 R]>>",
            b"<</Type/Annot/Subtype/Widget/FT/Tx/T(a)/V(b)/F 4/Rect[50 50 150 150]/P 3 0 R/AP<</N 5 0 R>>>>",
            b"<</Type/XObject/Subtype/Form/BBox[0 0 100 100]/Length %d>>stream\n%s\nendstream"
            % (len(appearance), appearance),
        ]
    )


def test_a_pdf_that_says_it_has_more_pages_than_it_can_hold_is_refused(tmp_path):
    lying = pdf_of([square_of(0)]).replace(b"/Count 1", b"/Count 99999")
    (tmp_path / "a.pdf").write_bytes(lying)
    with pytest.raises(PageError, match=r"a\.pdf: says that it has 99999 pages, more than its"):
        count_pages(document(tmp_path / "a.pdf"))


def test_a_document_with_a_fault_is_not_even_opened(tmp_path):
    with pytest.raises(PageError, match=r"^a: does not exist$"):
        count_pages(Document(source="a", path=tmp_path, name="a", fault="a: does not exist"))


def test_pipes_devices_and_folders_are_refused_at_once(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe.pdf")
    for path in (tmp_path / "pipe.pdf", Path("/dev/zero"), tmp_path):
        with pytest.raises(PageError, match="is not a file; expected a picture or a PDF"):
            count_pages(document(path))


def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path):
    path = saved(tmp_path, "a.png", letter())
    with pytest.raises(PageError, match="40 x 60 pixels are more than the limit of 2399"):
        open_page(source(path, max_pixels=2399))
    assert open_page(source(path, max_pixels=2400)).size == (40, 60)


def test_a_file_that_changes_is_opened_anew(tmp_path):
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf_of([square_of(0)]))
    assert open_page(source(path), size=(8, 8)).getpixel((0, 0)) == (0, 0, 0)
    path.write_bytes(pdf_of([square_of(1), square_of(1)]))
    assert open_page(source(path), size=(8, 8)).getpixel((0, 0)) == (255, 255, 255)
    assert count_pages(document(path)) == 2


# --- misfortunes ----------------------------------------------------------------------------------

GREYS = [0.0, 0.25, 0.5, 0.75, 1.0]
FAULTS = {
    "crash": "the decoder crashed on it or ran out of memory",
    "eat": "cannot be opened (MemoryError",
    "stumble": "cannot be opened (ZeroDivisionError",
    "spin": "takes more than 0.5 seconds",
}


@pytest.fixture(scope="module")
def five_pages(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("pdf") / "five.pdf"
    path.write_bytes(pdf_of([square_of(grey) for grey in GREYS]))
    return path


@pytest.mark.parametrize("fault", FAULTS)
def test_of_five_pages_only_the_one_that_ends_its_process_fails(five_pages, fault, monkeypatch):
    monkeypatch.setattr(cutting, "CUT", "tests.misbehaving:cut")
    monkeypatch.setattr(cutting, "TIME_LIMIT_S", 0.5 if fault == "spin" else 100)
    with Cutter(GREY, num_workers=2) as cutter:
        pages = [PageSource(path=five_pages, name=fault, page=n) for n in range(1, 6)]
        begun = [cutter.begin([page], TINY) for page in pages]
        for number, cut_page in enumerate(begun, start=1):
            if number == 3:
                with pytest.raises(PageError) as error:
                    cut_page.views()
                assert FAULTS[fault] in str(error.value)
                continue
            (view,) = cut_page.views()
            assert view.overview[256, 256, 0] == pytest.approx(255 * GREYS[number - 1], abs=1)


@pytest.mark.parametrize("fault", ["crash", "eat"])
def test_a_page_whose_drawing_ends_the_kept_process_fails_alone(five_pages, fault, monkeypatch):
    monkeypatch.setattr(opening, "PAGE", "tests.misbehaving:page")
    for number, grey in enumerate(GREYS, start=1):
        page = PageSource(path=five_pages, name=fault, page=number)
        if number == 3:
            with pytest.raises(PageError):
                open_page(page, size=(8, 8))
        else:
            found = open_page(page, size=(8, 8)).getpixel((0, 0))[0]
            assert found == pytest.approx(255 * grey, abs=1)


def test_threads_may_open_pages_at_once(five_pages):
    from concurrent.futures import ThreadPoolExecutor

    def grey_of(number: int) -> int:
        return open_page(source(five_pages, number), size=(8, 8)).getpixel((0, 0))[0]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(grey_of, [1, 2, 3, 4, 5] * 4))
    assert found == pytest.approx([255 * grey for grey in GREYS] * 4, abs=1)


# --- the same page again --------------------------------------------------------------------------


@pytest.mark.parametrize("rotation", ["none", "auto", "90", "180", "270"])
@pytest.mark.parametrize("size", [(595, 842), (595.28, 841.89), (300, 71), (612.5, 100.3)])
def test_a_page_can_be_opened_again_with_the_pixels_that_were_read(tmp_path, size, rotation):
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf_of([lines_of("Words that stand in lines", size=9)], size=size))
    page = source(path, rotation=rotation)
    choices = {"gundam": view_settings("gundam")}
    (view,) = cutting.cut([page], choices, GREY)
    again = open_page(page, size=view.size)
    assert again.size == view.size
    overview, _, _ = cutting.cut_views(again, choices["gundam"], GREY)
    assert np.array_equal(np.asarray(overview), view.overview)
    turned = source(path, rotation=str(view.turned) if view.turned else "none")
    assert np.array_equal(np.asarray(open_page(turned, size=view.size)), np.asarray(again))
