"""One to three lines of text on a small picture."""

from __future__ import annotations

import random

from .. import content, words
from ..layout import Layout
from ..request import Kind, PageRequest
from ..sheet import Sheet


def lay_out(request: PageRequest) -> Layout:
    """A strip as wide as its text."""
    monospaced = request.document_rng.random() < 0.2
    style = request.style(monospaced=monospaced, body=(1 / 56, 1 / 24), margin=(0.01, 0.03))
    sheet = request.sheet(style, width=request.rng.uniform(0.6, 1.0))
    bold, italic = request.document_rng.random() < 0.15, request.document_rng.random() < 0.15
    type = sheet.type(bold=bold, italic=italic)
    for _ in range(request.rng.choice((1, 1, 2, 3))):
        sheet.write(one_line(request.rng, sheet), type, close=True)
    sheet.crop()
    right = max(line.box[2] for line in sheet.layout.lines)
    sheet.layout.width = min(sheet.layout.width, round(right) + style.margin_px)
    return sheet.layout


def one_line(rng: random.Random, sheet: Sheet) -> str:
    """Running text half of the time, else one of the short things that documents hold."""
    if rng.random() < 0.5:
        text = words.sentence(rng)
        if sheet.max_characters is not None:
            text = text[: max(1, sheet.max_characters)]
        return text
    currency = rng.choice(content.CURRENCIES)
    return rng.choice(
        (
            content.person,
            content.company,
            content.street,
            content.postal_town,
            content.date,
            content.phone,
            content.web_address,
            content.code,
            words.heading,
            lambda rng: f"{content.goods(rng)} {content.money(content.amount(rng), currency)}",
            lambda rng: " ".join(words.made_up_word(rng) for _ in range(rng.randint(1, 4))),
        )
    )(rng)


KIND = Kind("lines", lay_out, smallest_size=96)
