"""Sizes that are read from the heads of files are those of the pages as they are loaded."""

from __future__ import annotations

import base64
import json
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from deepseek_ocr.data.pages.loading import load_page
from deepseek_ocr.data.pages.sizes import page_sizes
from deepseek_ocr.errors import PageError
from deepseek_ocr.pictures import open_picture, picture_size

from ...test_pictures import encoded
from .test_pages import write_pdf

FORMATS = ["PNG", "JPEG", "WEBP", "TIFF"]


def turned_by(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("file_format", FORMATS)
def test_the_size_of_a_turned_picture_is_that_of_the_upright_one(file_format, orientation):
    content = encoded(Image.new("RGB", (5, 3)), file_format, exif=turned_by(orientation))
    assert picture_size(content) == open_picture(content).size


XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_picture_turned_by_xmp_has_the_size_of_the_upright_one(file_format):
    options = {"tiffinfo": {700: XMP}} if file_format == "TIFF" else {"xmp": XMP}
    content = encoded(Image.new("RGB", (5, 3)), file_format, **options)
    assert picture_size(content) == open_picture(content).size


def test_exif_behind_the_pixels_of_a_png_counts():
    exif = turned_by(6).tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(exif)) + b"eXIf" + exif
    chunk += struct.pack(">I", zlib.crc32(b"eXIf" + exif))
    content = encoded(Image.new("RGB", (5, 3)))
    end = content.index(b"IEND") - 4
    content = content[:end] + chunk + content[end:]
    assert picture_size(content) == open_picture(content).size == (3, 5)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"])
def test_no_format_is_decoded_for_its_size(file_format, monkeypatch):
    content = encoded(Image.new("RGB", (9, 7)), file_format)
    monkeypatch.setattr(Image.Image, "load", None)
    monkeypatch.setattr(Image.core, "new", None)
    assert picture_size(content) == (9, 7)


def test_the_size_of_a_frame_is_that_frames():
    frames = [Image.new("L", (4, 4)), Image.new("L", (6, 2))]
    content = encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    assert [picture_size(content, frame=number) for number in (1, 2)] == [(4, 4), (6, 2)]
    with pytest.raises(PageError, match="has no page 3"):
        picture_size(content, frame=3)


@pytest.mark.filterwarnings("ignore")  # Pillow's, about what it leaves out
@given(st.binary(max_size=60), st.sampled_from(FORMATS), st.integers(0, 200))
def test_whatever_the_bytes_are_there_is_a_size_or_a_page_error(noise, file_format, place):
    content = encoded(Image.new("L", (3, 2)), file_format)
    content = content[:place] + noise + content[place + len(noise) :]
    try:
        width, height = picture_size(content)
    except PageError:
        return
    assert width > 0 and height > 0


def test_sizes_are_those_of_the_loaded_pages(tmp_path):
    sheet = Image.new("L", (30, 20), 255)
    sheet.paste(0, (5, 5, 12, 9))
    sheet.save(tmp_path / "a.png")
    write_pdf(tmp_path / "b.pdf", (100, 50), (33, 77))
    picture = base64.b64encode(encoded(Image.new("L", (8, 6)))).decode()
    (tmp_path / "c.jsonl").write_text(json.dumps({"image": picture, "text": "t"}) + "\n")
    references = [
        "b.pdf#page=2", "a.png", "a.png#crop=content", "b.pdf", "c.jsonl#line=1",
        "b.pdf#page=1&crop=content",
    ]  # fmt: skip
    sizes = page_sizes(tmp_path, references)
    assert sizes == {r: load_page(tmp_path, r).size for r in references}


def test_what_cannot_be_measured_says_why_and_does_not_stop_the_others(tmp_path):
    Image.new("L", (3, 2)).save(tmp_path / "a.png")
    write_pdf(tmp_path / "b.pdf", (100, 50))
    (tmp_path / "torn.pdf").write_bytes(b"%PDF-1.4")
    bad = ["../a.png", "none.png", "b.pdf#page=2", "torn.pdf", "torn.pdf#page=2", "b.pdf#page=*"]
    sizes = page_sizes(tmp_path, [*bad, "a.png", "b.pdf"])
    assert all(isinstance(sizes[reference], PageError) for reference in bad)
    assert sizes["a.png"] == (3, 2) and sizes["b.pdf"] == (2048, 1024)
