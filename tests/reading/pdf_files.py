"""PDF files of a few lines of code, for tests: pages of drawn rectangles, or of raw objects."""

from __future__ import annotations

from collections.abc import Sequence


def pdf_of(contents: Sequence[bytes], *, size: tuple[float, float] = (595, 842)) -> bytes:
    """A PDF with one page for each content stream, all in one flat list of pages."""
    count = len(contents)
    kids = b" ".join(b"%d 0 R" % (4 + 2 * place) for place in range(count))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count %d/Kids[%s]/MediaBox[0 0 %g %g]>>" % (count, kids, *size),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    for place, content in enumerate(contents):
        page = b"<</Type/Page/Parent 2 0 R/Contents %d 0 R/Resources<</Font<</F 3 0 R>>>>>>"
        objects.append(page % (5 + 2 * place))
        objects.append(b"<</Length %d>>stream\n%s\nendstream" % (len(content), content))
    return assembled(objects)


def assembled(objects: Sequence[bytes]) -> bytes:
    """Objects 1, 2, ... (1: the catalogue) as a file with its table of places."""
    file = bytearray(b"%PDF-1.7\n")
    places = []
    for number, content in enumerate(objects, start=1):
        places.append(len(file))
        file += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = len(file)
    file += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    file += b"".join(b"%010d 00000 n \n" % place for place in places)
    file += b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table)
    return bytes(file)


def lines_of(text: str, *, size: float = 11, lines: int = 50) -> bytes:
    """A content stream: a page of lines of print."""
    rows = b"".join(b"(%s) Tj T*\n" % text.encode("latin-1") for _ in range(lines))
    return b"BT /F %g Tf %g TL 60 780 Td\n%sET" % (size, 1.3 * size, rows)


def square_of(grey: float) -> bytes:
    """A content stream: the whole page in one grey, 0 ... 1."""
    return b"%g g 0 0 5000 5000 re f" % grey
