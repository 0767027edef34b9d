"""Fonts for drawn pages: what they can draw, and folders of others."""

from __future__ import annotations

import shutil

import pytest

from deepseek_ocr.data.synthetic import draw_page, load_fonts
from deepseek_ocr.data.synthetic.fonts import REQUIRED, FontLibrary
from deepseek_ocr.errors import UserError


def family(name: str):
    return next(f for f in load_fonts().families if f.name == name)


def test_every_bundled_font_can_draw_what_pages_need():
    faces = [face for f in load_fonts().families for face in f.faces]
    assert len(faces) == 21
    assert all(face.covers(c) for face in faces for c in REQUIRED)


def test_typewriter_faces_are_told_from_others():
    assert {f.name for f in load_fonts().monospaced} == {"Computer Modern Mono", "DejaVu Sans Mono"}


@pytest.mark.parametrize(
    "name, text, printed",
    [
        ("DejaVu Sans", "“Zoë’s” € – •", "“Zoë’s” € – •"),
        ("Computer Modern", "“Zoë” costs €5 – £3", "Zoe costs EUR 5 - GBP 3"),
        ("Computer Modern", "Østergaard & Weiß", "Ostergaard & Weiss"),
        ("DejaVu Sans", "a\u4e00b", "ab"),
    ],
)
def test_what_a_font_lacks_is_spelled_out(name, text, printed):
    assert family(name).face().printable(text) == printed


@pytest.mark.parametrize("sign", "<>\\^_{|}~£€äé")
def test_tex_fonts_are_not_trusted_where_they_draw_something_else(sign):
    assert not family("Computer Modern").face().covers(sign)


def test_a_family_without_a_style_draws_its_plain_one():
    sans = family("Computer Modern Sans")
    assert sans.face(bold=True) == sans.face(italic=True) == sans.face()
    styles = family("DejaVu Serif")
    assert styles.face(bold=True, italic=True).style == "Bold Italic"
    assert styles.face().style == "Book"


def test_a_folder_of_fonts_can_be_named(tmp_path):
    shutil.copy(family("DejaVu Serif").face().path, tmp_path / "mine.ttf")
    (tmp_path / "broken.ttf").write_bytes(b"not a font")
    fonts = load_fonts(str(tmp_path))
    assert [f.name for f in fonts.families] == ["DejaVu Serif"]
    assert set(fonts.sha256()) == {"mine.ttf"}
    page = draw_page(0, 0, "receipts", size=400, fonts=fonts)
    assert {run.type.face.path.name for line in page.layout.lines for run in line.runs} == {
        "mine.ttf"
    }


def test_a_folder_without_usable_fonts_is_refused(tmp_path):
    (tmp_path / "broken.ttf").write_bytes(b"not a font")
    with pytest.raises(UserError, match="1 font files, none with all letters and digits"):
        load_fonts(str(tmp_path))
    with pytest.raises(UserError, match="no such folder of fonts"):
        load_fonts(str(tmp_path / "missing"))


def test_the_order_of_files_does_not_matter():
    faces = [face for f in load_fonts().families for face in f.faces]
    forwards, backwards = FontLibrary(faces), FontLibrary(reversed(faces))
    assert forwards.families == backwards.families
