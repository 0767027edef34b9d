"""Book pages: running head, paragraphs in one or two columns, page number."""

from __future__ import annotations

from .. import words
from ..layout import Layout
from ..request import Kind, PageRequest
from ..sheet import Sheet


def lay_out(request: PageRequest) -> Layout:
    """Reading order: head, left column, right column, page number."""
    document, rng = request.document_rng, request.rng
    style = request.style(body=(1 / 62, 1 / 44), margin=(0.07, 0.11))
    sheet = request.sheet(style)
    running_head, first_page = words.heading(document).upper(), document.randint(1, 600)
    if document.random() < 0.7:
        sheet.write(running_head, sheet.type(0.85, italic=True), align="centre")
        sheet.skip(0.6)
    if request.page == 1 and rng.random() < 0.35:
        title = f"{rng.choice(('Chapter', 'Part'))} {rng.randint(1, 40)}"
        sheet.title(title, sheet.type(1.5, bold=True), align="centre")
        sheet.skip(1)
    number_room = 1.6 * sheet.line_height()
    sheet.bottom -= number_room
    indent = document.choice((0.0, 1.4)) * style.body_px
    if document.random() < 0.3 and style.body_px * 40 < request.size:
        _columns(sheet, indent)
    else:
        _text(sheet, indent)
    sheet.y = sheet.bottom = sheet.bottom + number_room
    sheet.y -= 1.3 * sheet.line_height()
    sheet.write(str(first_page + request.page - 1), align=rng.choice(("centre", "right")))
    return sheet.layout


def _text(sheet: Sheet, indent: float) -> None:
    sheet.paragraphs(lambda: words.sentence(sheet.rng), 12, indent=indent)


def _columns(sheet: Sheet, indent: float) -> None:
    left, right, top = sheet.left, sheet.right, sheet.y
    gutter = 1.5 * sheet.style.body_px
    middle = (left + right) / 2
    most = sheet.max_characters
    if most is not None:  # half of it left, half right
        sheet.max_characters = most // 2
    for column in ((left, middle - gutter / 2), (middle + gutter / 2, right)):
        sheet.left, sheet.right, sheet.y = *column, top
        _text(sheet, indent)
        sheet.max_characters = most
    sheet.left, sheet.right = left, right


KIND = Kind("book", lay_out, smallest_size=400)
