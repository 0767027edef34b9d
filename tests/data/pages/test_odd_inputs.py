"""Every file of ../shared/data/odd_inputs (a museum of traps): opens as it should, or says why not."""

from __future__ import annotations

import pytest
from PIL import ImageStat

from deepseek_ocr.data.inspection.verification import verify_pictures
from deepseek_ocr.data.pages.loading import load_page
from deepseek_ocr.errors import PageError

DAMAGED_PDF = "the PDF is damaged or has no pages"
NO_PICTURE = "not a picture of a known format; expected PNG, JPEG, WEBP, TIFF, BMP, GIF"

EXPECTED = {  # pages, size of the first (of a PDF: drawn 512 pixels long), its mean grey; or why not
    "032270.pdf": (1, (396, 512), 240),
    "DA-1p.heic": NO_PICTURE,
    "EmptyPdf.pdf": (1, (362, 512), 255),
    "SOURCES.md": NO_PICTURE,
    "aspect.pdf": (1, (512, 410), 224),
    "baiona_alpha.png": (1, (640, 682), 240),  # transparent, on white
    "basn0g16.png": (1, (32, 32), 144),  # 16 bits, not clipped
    "boundingBox_invalid.pdf": (3, (396, 512), 254),
    "broken.png": "the picture is damaged",
    "crash-0da013a13571cc8eb457a39fee8db18f8a3c7127.tif": (1, (218, 84), 255),
    "cropped-and-rotated.pdf": (1, (512, 261), 252),
    "decompression_bomb.gif": "too large to decode",
    "delay.png": (5, (128, 64), 76),  # an animation
    "empty#hash.pdf": (1, (396, 512), 255),
    "empty.pdf": DAMAGED_PDF,
    "g4_orientation_6.tif": (1, (590, 88), 227),  # turned once
    "helloworld-bad.pdf": (1, (512, 512), 254),  # broken xref
    "hopper-XYZ.png": (1, (128, 128), 85),
    "hopper_bigtiff.tif": (1, (128, 128), 85),
    "hopper_naxis_zero.fits": NO_PICTURE,
    "hopper_orientation_5.webp": (1, (128, 128), 85),
    "hugemono.pdf": (1, (512, 512), 255),
    "invalid.pdf": DAMAGED_PDF,
    "invisible_text_layer.pdf": (1, (396, 512), 255),
    "iss634.gif": (42, (245, 245), 131),
    "junk_jpeg_header.jpg": (1, (1024, 768), 116),
    "lab.tif": (1, (10, 10), 255),
    "layout-parser-paper-combined.tiff": (2, (612, 792), 246),
    "leading-junk.pdf": (30, (396, 512), 255),
    "multipage.tiff": (3, (10, 10), 75),
    "negative_size.ppm": NO_PICTURE,
    "no_contents.pdf": (1, (512, 512), 255),
    "no_rows_per_strip.tif": (3, (950, 975), 12),
    "p_trns_single.png": (1, (64, 64), 160),
    "pages-kids-not-page.pdf": (1, (396, 512), 255),
    "pages-loop.pdf": (1, (396, 512), 255),
    "pil_sample_cmyk.jpg": (1, (100, 100), 13),
    "poppler-395-0-fuzzed.pdf": DAMAGED_PDF,
    "portrait_6.jpg": (1, (450, 600), 100),  # turned by its EXIF
    "r3-user-password.pdf": "the PDF needs a password",
    "r6-empty-password.pdf": (1, (363, 512), 255),
    "rgb-16-linear-tRNS.png": (1, (256, 256), 128),
    "rotated_skew.pdf": (1, (396, 512), 233),
    "rotation.pdf": (2, (396, 512), 255),
    "sizes.pdf": (3, (396, 512), 255),
    "sugarshack.mpo": (2, (640, 480), 111),
    "test-card-lossy-tiled.jp2": NO_PICTURE,
    "tiff_strip_cmyk_jpeg.tif": (1, (100, 100), 13),
    "transparent_background_text.png": (1, (300, 100), 255),  # its letters are white
    "truncated_image.png": "the picture is cut short",
    "truncated_jpeg.jpg": "the picture is cut short",
    "xref_command_missing.pdf": (1, (512, 128), 243),
    "zero-pages-qpdf.pdf": DAMAGED_PDF,
}


@pytest.fixture(scope="module")
def odd_inputs(shared):
    return shared / "data" / "odd_inputs"


def first_page(name: str) -> str:
    return name if isinstance(EXPECTED[name], str) else f"{name}#page=1"


def test_the_table_is_that_of_the_folder(odd_inputs):
    assert {path.name for path in odd_inputs.iterdir()} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_it_opens_as_it_should_or_says_why_not(odd_inputs, name):
    expected = EXPECTED[name]
    if isinstance(expected, str):
        with pytest.raises(PageError) as error:
            load_page(odd_inputs, name)
        assert str(error.value).startswith(f"{name}: {expected}")
        return
    page = load_page(odd_inputs, name, target_side=512)
    assert (page.mode, page.size) == ("RGB", expected[1])
    assert round(ImageStat.Stat(page.convert("L")).mean[0]) == pytest.approx(expected[2], abs=1)


MEASURED = [
    *(first_page(name) for name in EXPECTED if name.endswith(".pdf") and first_page(name) != name),
    *("sizes.pdf#page=3", "rotation.pdf#page=2", "boundingBox_invalid.pdf#page=2"),
    *("leading-junk.pdf#page=30", "portrait_6.jpg", "g4_orientation_6.tif"),
    "aspect.pdf#page=1&crop=content",
]


@pytest.fixture(scope="module")
def reports(odd_inputs):
    """What a worker finds out about all of them."""
    names = [*EXPECTED, *map(first_page, EXPECTED), *MEASURED]
    with verify_pictures(odd_inputs, names, num_workers=1) as found:
        yield found


def test_a_worker_goes_through_all_of_them(reports):
    for name, expected in EXPECTED.items():
        file, page = reports.file(name), reports.page(first_page(name))
        if isinstance(expected, str):
            assert (page.fault or "").startswith(f"{name}: {expected}")
        else:
            assert (file.num_pages, file.fault, page.fault) == (expected[0], None, None)
            assert page.width >= expected[1][0] and len(file.sha256) == 64
        several = isinstance(expected, tuple) and expected[0] > 1
        if several and name.endswith(("pdf", "tif", "tiff")):
            assert f"holds {expected[0]} pages" in (reports.page(name).fault or "")


def test_the_size_in_a_report_is_that_of_the_page(odd_inputs, reports):
    for reference in MEASURED:
        report = reports.page(reference)
        assert (report.width, report.height) == load_page(odd_inputs, reference).size


def test_the_error_of_one_pdf_is_not_that_of_the_one_before(odd_inputs):
    for name in ("r3-user-password.pdf", "zero-pages-qpdf.pdf"):
        with pytest.raises(PageError, match=f"{name}: {EXPECTED[name]}"):
            load_page(odd_inputs, name)
