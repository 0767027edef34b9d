"""A document as a PDF that looks like its pages and can be searched and copied from.

Each page is its picture with the text on top, invisible, each line where it stands (see
`text_lines`). Written with our own `PdfFile`: no library is needed, a page is in the file before
the next is drawn, and the same pages give the same bytes.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Iterable, Mapping
from typing import BinaryIO

from PIL import Image

from ..errors import PageError
from .characters import harmless
from .invisible_font import DESCENT, WIDTH, InvisibleFont
from .markup import parse_answer
from .notices import notice
from .pdf_file import Name, PdfFile, Ref, number_text, text_string
from .results import ReadPage
from .text_lines import TextLine, placed_lines
from .visual_order import visual_order

OpenPicture = Callable[[ReadPage], Image.Image]
"""A page's picture as it was read, from which its boxes count."""

LONG_SIDE = 842.0  # points, of a page whose picture does not say how large it was: that of A4
LEAST_DPI, MOST_DPI = 20, 2_400  # that a picture's own word is taken for
SAID_OF_ANY = (72, 96)  # dpi: what programs write that know nothing
LARGEST_SIDE = 14_400  # points, of a page that all readers of PDF open
JPEG_QUALITY = 85
LONGEST_STRING = 8_000  # bytes; readers of PDF may refuse one of 32 thousand

_BLANK_SIZE = (595.0, 842.0)  # points; A4
_MARGIN, _NOTE_SIZE, _NOTE_CHARACTERS = 72, 12, 75


def write_searchable_pdf(
    file: BinaryIO, pages: Iterable[ReadPage], *, open_picture: OpenPicture, title: str = ""
) -> None:
    """Write a document to an open file, page by page.

    A page that failed and cannot be opened becomes a blank one that says so, so that the others
    keep their places.

    Raises:
        PageError: `open_picture` raises it for a page that was read.
    """
    pdf = SearchablePdf(file, title)
    for page in pages:
        try:
            picture = open_picture(page)
        except PageError:
            if page.status != "failed":
                raise
            pdf.add_note(notice(page, is_one_of_several=True))
            continue
        answer = parse_answer(page.text, picture.size, prompt=page.prompt)
        pdf.add_page(picture, list(placed_lines(answer, picture)))
    pdf.finish()


class SearchablePdf:
    """A PDF of pictures with invisible text, written to `file` as pages come."""

    def __init__(self, file: BinaryIO, title: str = ""):
        self._pdf, self._font = PdfFile(file), InvisibleFont()
        self._title = title
        self._tree, self._font_ref = self._pdf.reserve(), self._pdf.reserve()
        self._pages: list[Ref] = []

    def add_page(
        self, picture: Image.Image, lines: Iterable[TextLine], *, dpi: float | None = None
    ) -> None:
        """A page; boxes of the lines in its pixels, `dpi` else as the picture says."""
        scale = points_a_pixel(picture, dpi)
        width, height = (max(3.0, side * scale) for side in picture.size)
        image = self._add_picture(picture)
        placed = f"q {number_text(width)} 0 0 {number_text(height)} 0 0 cm /I Do Q\n"
        texts = b"".join(self._line(line, scale, height) for line in lines)
        content = placed.encode("ascii") + (b"BT 3 Tr\n" + texts + b"ET\n" if texts else b"")
        resources = {"XObject": {"I": image}, "Font": {"F": self._font_ref}}
        self._add(content, (width, height), resources)

    def add_note(self, text: str) -> None:
        """A blank page that says something, in letters that can be seen."""
        lines = textwrap.wrap(text, _NOTE_CHARACTERS) or [""]
        content = f"BT /F {_NOTE_SIZE} Tf {_NOTE_SIZE * 1.3} TL\n".encode("ascii")
        content += f"{_MARGIN} {_BLANK_SIZE[1] - _MARGIN} Td\n".encode("ascii")
        for line in lines:
            content += b"<" + line.encode("cp1252", "replace").hex().encode("ascii") + b"> Tj T*\n"
        font = {
            "Type": Name("Font"),
            "Subtype": Name("Type1"),
            "BaseFont": Name("Helvetica"),
            "Encoding": Name("WinAnsiEncoding"),
        }
        self._add(content + b"ET\n", _BLANK_SIZE, {"Font": {"F": font}})

    def finish(self) -> None:
        """End the file; the document must have a page."""
        if not self._pages:
            self.add_note("no pages")
        self._font.write(self._pdf, self._font_ref)
        tree = {"Type": Name("Pages"), "Kids": list(self._pages), "Count": len(self._pages)}
        self._pdf.add(tree, self._tree)
        root = self._pdf.add({"Type": Name("Catalog"), "Pages": self._tree})
        about = {"Title": text_string(harmless(self._title)), "Producer": b"deepseek-ocr"}
        self._pdf.finish(root, self._pdf.add(about))

    def _add(
        self, content: bytes, size: tuple[float, float], resources: Mapping[str, object]
    ) -> None:
        page = {
            "Type": Name("Page"),
            "Parent": self._tree,
            "MediaBox": [0, 0, *size],
            "Resources": resources,
            "Contents": self._pdf.add_stream(content),
        }
        self._pages.append(self._pdf.add(page))

    def _line(self, line: TextLine, scale: float, page_height: float) -> bytes:
        """Operators that set a line of text so that it fills its box."""
        codes = self._font.codes(visual_order(line.text))
        x1, y1, x2, y2 = (side * scale for side in line.box)
        size, num_characters = y2 - y1, len(codes) // 2
        if not num_characters or size <= 0:
            return b""
        stretch = 100 * (x2 - x1) / (num_characters * WIDTH * size)
        stands_at = page_height - y2 - DESCENT * size
        numbers = (number_text(value) for value in (size, stretch, x1, stands_at))
        font, wide, left, base = numbers
        placed = f"/F {font} Tf {wide} Tz 1 0 0 1 {left} {base} Tm"
        strings = (
            f"<{codes[start : start + LONGEST_STRING].hex()}> Tj"
            for start in range(0, len(codes), LONGEST_STRING)
        )
        return f"{placed} {' '.join(strings)}\n".encode("ascii")

    def _add_picture(self, picture: Image.Image) -> Ref:
        """The picture: two tones without loss, all else as JPEG, grey where it is grey."""
        picture = _plainest(picture.convert("RGB"))
        about: dict[str, object] = {
            "Type": Name("XObject"),
            "Subtype": Name("Image"),
            "Width": picture.width,
            "Height": picture.height,
            "ColorSpace": Name("DeviceRGB" if picture.mode == "RGB" else "DeviceGray"),
            "BitsPerComponent": 1 if picture.mode == "1" else 8,
        }
        if picture.mode == "1":
            return self._pdf.add_stream(picture.tobytes(), about)
        jpeg = io.BytesIO()
        picture.save(jpeg, "JPEG", quality=JPEG_QUALITY, optimize=True)
        about["Filter"] = Name("DCTDecode")
        return self._pdf.add_stream(jpeg.getvalue(), about, compress=False)


def points_a_pixel(picture: Image.Image, dpi: float | None = None) -> float:
    """Points (1/72 inch) that a pixel takes on paper."""
    own = picture.info.get("dpi")
    if dpi is None and isinstance(own, tuple) and own[0] not in SAID_OF_ANY:
        dpi = float(own[0]) if LEAST_DPI <= own[0] <= MOST_DPI else None
    scale = 72 / dpi if dpi else LONG_SIDE / max(picture.size)
    return min(scale, LARGEST_SIDE / max(picture.size))


def _plainest(picture: Image.Image) -> Image.Image:
    """An RGB picture in the least mode that shows the same."""
    red, green, blue = picture.split()
    if red.tobytes() != green.tobytes() or red.tobytes() != blue.tobytes():
        return picture
    if sum(red.histogram()[1:255]) == 0:
        return red.convert("1", dither=Image.Dither.NONE)
    return red
