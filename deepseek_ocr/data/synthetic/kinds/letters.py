"""Letters: letterhead, address, date, subject, paragraphs, signature."""

from __future__ import annotations

import random

from .. import content, words
from ..layout import Layout
from ..request import Kind, PageRequest
from ..sheet import Align, Sheet

GREETINGS = ("Dear {},", "Dear {}:", "My dear {},", "Hello {},")
CLOSINGS = (
    "Yours sincerely,",
    "Kind regards,",
    "With best wishes,",
    "Yours faithfully,",
    "Sincerely,",
)


def lay_out(request: PageRequest) -> Layout:
    """Page 1 has letterhead and address, later pages a number; each is signed."""
    sheet = request.sheet(request.style(margin=(0.07, 0.1)))
    signed_by = content.person(request.document_rng)  # of all pages of the letter
    if request.page == 1:
        _letterhead(sheet, request)
        _address(sheet, request)
        name = content.person(request.rng).split()[-1]
        sheet.write(request.rng.choice(GREETINGS).format(name))
    else:
        sheet.write(f"- {request.page} -", align="centre", label="text")
    sheet.skip(0.5)
    room_to_sign = 4.5 * sheet.line_height()
    sheet.bottom -= room_to_sign
    indent = request.document_rng.choice((0.0, 0.0, 1.5)) * sheet.style.body_px
    sheet.paragraphs(lambda: words.sentence(request.rng), request.rng.randint(1, 6), indent=indent)
    sheet.bottom += room_to_sign
    _closing(sheet, request.rng, signed_by)
    return sheet.layout


def _letterhead(sheet: Sheet, request: PageRequest) -> None:
    rng = request.document_rng
    align: Align = rng.choice(("left", "centre", "right"))
    head = sheet.type(rng.uniform(1.2, 1.7), bold=True, accent=True)
    sheet.title(sheet.fitting(lambda: content.company(rng), head), head, align=align)
    small = sheet.type(0.9)
    for part in (content.street(rng), content.postal_town(rng), content.phone(rng)):
        sheet.write(part, small, align=align, close=True)
    if rng.random() < 0.5:
        sheet.skip(0.3)
        sheet.rule(px=max(1, sheet.style.body_px // 10))
    sheet.skip(rng.uniform(0.7, 1.5))


def _address(sheet: Sheet, request: PageRequest) -> None:
    rng = request.rng
    place = f"{content.town(rng)}, " if rng.random() < 0.3 else ""
    sheet.write(place + content.date(rng), align=rng.choice(("left", "right")))
    sheet.skip(0.5)
    parts = (content.person(rng), content.street(rng), content.postal_town(rng))
    sheet.add("text", [sheet.line([part]) for part in parts])
    sheet.skip(1)
    if rng.random() < 0.6:
        type, start = sheet.type(bold=True), rng.choice(("", "Re: "))
        subject = sheet.fitting(lambda: start + words.capitalised(words.phrase(rng, 2)), type)
        sheet.title(subject, type, level=2)
        sheet.skip(0.5)


def _closing(sheet: Sheet, rng: random.Random, signed_by: str) -> None:
    sheet.skip(0.7)
    sheet.write(rng.choice(CLOSINGS))
    sheet.skip(0.6)
    sheet.write(signed_by, sheet.type(italic=rng.random() < 0.5))
    if rng.random() < 0.5:
        sheet.write(rng.choice(content.TITLES), sheet.type(0.9), close=True)


KIND = Kind("letters", lay_out, smallest_size=360)
