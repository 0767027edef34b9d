"""A font without shapes: text set in it can be searched and copied, and shows nothing.

Its glyphs are empty and half as wide as high, whatever the character; the letters that a reader of
the file copies come from a table (`ToUnicode`). Character number c of Unicode has the code c; those
beyond U+FFFF, which two bytes cannot number, get the codes of half surrogate pairs in the order in
which they come. The idea is that of Tesseract's glyphless font
(https://github.com/tesseract-ocr/tesseract, pdfrenderer.cpp, Apache-2.0); no code of it is used.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from .pdf_file import Name, PdfFile, Ref

WIDTH = 0.5  # of a character, in heights of the font
ASCENT, DESCENT = 0.8, -0.2  # of the line, in heights of the font, from where letters stand

_NAME = "Invisible"
_FIRST_SPARE, _LAST_SPARE = 0xD800, 0xDFFF
_UNITS = 1000  # of the font's grid a height
_REPLACEMENT = 0xFFFD
_TO_UNICODE = """/CIDInit /ProcSet findresource begin
12 dict begin
begincmap
/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def
/CMapName /Adobe-Identity-UCS def
/CMapType 2 def
1 begincodespacerange
<0000> <FFFF>
endcodespacerange
{ranges}endcmap
CMapName currentdict /CMap defineresource pop
end
end
"""


class InvisibleFont:
    """The codes of a document's characters, and the font that goes into its file."""

    def __init__(self) -> None:
        self._spare: dict[str, int] = {}  # beyond U+FFFF -> code

    def codes(self, text: str) -> bytes:
        """The text in the font's codes, two bytes a character."""
        return b"".join(struct.pack(">H", self._code(character)) for character in text)

    def _code(self, character: str) -> int:
        number = ord(character)
        if number <= 0xFFFF:
            return _REPLACEMENT if _FIRST_SPARE <= number <= _LAST_SPARE else number
        code = self._spare.setdefault(character, _FIRST_SPARE + len(self._spare))
        return code if code <= _LAST_SPARE else _REPLACEMENT

    def write(self, file: PdfFile, at: Ref) -> None:
        """Write the font once all text has got its codes."""
        program = font_program()
        embedded = file.add_stream(program, {"Length1": len(program)})
        glyphs = file.add_stream(struct.pack(">H", 1) * 0x10000)  # each code shows glyph 1
        to_unicode = file.add_stream(self._to_unicode().encode("ascii"))
        descriptor = file.add(
            {
                "Type": Name("FontDescriptor"),
                "FontName": Name(_NAME),
                "Flags": 5,  # all characters of one width; not the standard ones alone
                "FontBBox": [0, int(DESCENT * _UNITS), int(WIDTH * _UNITS), int(ASCENT * _UNITS)],
                "ItalicAngle": 0,
                "Ascent": int(ASCENT * _UNITS),
                "Descent": int(DESCENT * _UNITS),
                "CapHeight": int(ASCENT * _UNITS),
                "StemV": 80,
                "FontFile2": embedded,
            }
        )
        descendant = file.add(
            {
                "Type": Name("Font"),
                "Subtype": Name("CIDFontType2"),
                "BaseFont": Name(_NAME),
                "CIDSystemInfo": {"Registry": b"Adobe", "Ordering": b"Identity", "Supplement": 0},
                "CIDToGIDMap": glyphs,
                "DW": int(WIDTH * _UNITS),
                "FontDescriptor": descriptor,
            }
        )
        file.add(
            {
                "Type": Name("Font"),
                "Subtype": Name("Type0"),
                "BaseFont": Name(_NAME),
                "Encoding": Name("Identity-H"),
                "DescendantFonts": [descendant],
                "ToUnicode": to_unicode,
            },
            at,
        )

    def _to_unicode(self) -> str:
        # a range may not reach over the end of its last byte, and a block holds a hundred
        rows = (f"<{high:02X}00> <{high:02X}FF> <{high:02X}00>" for high in range(256))
        plain = [row for row in rows if not "<D8" <= row[:3] <= "<DF"]
        spare = [
            f"<{code:04X}> <{character.encode('utf-16-be').hex().upper()}>"
            for character, code in self._spare.items()
            if code <= _LAST_SPARE
        ]
        blocks = [*_blocks("bfrange", plain), *_blocks("bfchar", spare)]
        return _TO_UNICODE.format(ranges="".join(blocks))


def _blocks(kind: str, rows: list[str]) -> Iterator[str]:
    for start in range(0, len(rows), 100):
        some = rows[start : start + 100]
        yield f"{len(some)} begin{kind}\n" + "\n".join(some) + f"\nend{kind}\n"


def font_program() -> bytes:
    """A TrueType font of two empty glyphs (https://learn.microsoft.com/typography/opentype/spec)."""
    glyph = struct.pack(">5h2x", 0, 0, 0, 0, 0)  # no contours
    ascent, descent, width = int(ASCENT * _UNITS), int(DESCENT * _UNITS), int(WIDTH * _UNITS)
    head = struct.pack(
        ">IIIIHHQQhhhhHHhhh",
        *(0x00010000, 0x00010000, 0, 0x5F0F3CF5, 0, _UNITS, 0, 0),
        *(0, 0, 0, 0, 0, 8, 2, 0, 0),
    )
    hhea = struct.pack(">Ihhh H hhhhhh 8x h H", 0x00010000, ascent, descent, 0, width,
                       0, 0, 0, 1, 0, 0, 0, 2)  # fmt: skip
    maxp = struct.pack(">IH 13H", 0x00010000, 2, *([0] * 2), 0, 0, 1, *([0] * 8))
    return _font_file(
        {
            b"glyf": glyph * 2,
            b"head": head,
            b"hhea": hhea,
            b"hmtx": struct.pack(">HhHh", width, 0, width, 0),
            b"loca": struct.pack(">3H", 0, len(glyph) // 2, len(glyph)),
            b"maxp": maxp,
        }
    )


def _font_file(tables: dict[bytes, bytes]) -> bytes:
    """The tables, in the order of their names, with a directory and check sums in front."""
    count = len(tables)
    power = 1 << (count.bit_length() - 1)
    search = (power * 16, power.bit_length() - 1, (count - power) * 16)
    directory = struct.pack(">I4H", 0x00010000, count, *search)
    place, bodies, head_at = 12 + 16 * count, b"", 0
    for name, content in tables.items():
        padded = content + b"\0" * (-len(content) % 4)
        directory += struct.pack(">4s3I", name, _checksum(padded), place, len(content))
        if name == b"head":
            head_at = place
        place += len(padded)
        bodies += padded
    font = directory + bodies
    adjustment = (0xB1B0AFBA - _checksum(font)) & 0xFFFFFFFF
    return font[: head_at + 8] + struct.pack(">I", adjustment) + font[head_at + 12 :]


def _checksum(content: bytes) -> int:
    padded = content + b"\0" * (-len(content) % 4)
    return sum(struct.unpack(f">{len(padded) // 4}I", padded)) & 0xFFFFFFFF
