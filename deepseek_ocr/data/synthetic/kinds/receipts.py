"""Till receipts: shop, items with prices, and a total that adds up."""

from __future__ import annotations

import random
from decimal import ROUND_CEILING, Decimal
from functools import partial

from .. import content
from ..layout import Layout, Line
from ..request import Kind, PageRequest
from ..sheet import Cell, Sheet

TOTALS = ("TOTAL", "Total")
TAX_RATES = (5, 6, 7, 10, 19, 20)
THANKS = ("Thank you!", "THANK YOU, COME AGAIN", "Goods sold are not returnable", "Have a nice day")


def lay_out(request: PageRequest) -> Layout:
    """A narrow slip, as long as its items."""
    monospaced = request.document_rng.random() < 0.75
    style = request.style(monospaced=monospaced, body=(1 / 60, 1 / 48), margin=(0.02, 0.05))
    narrow = max(request.rng.uniform(0.38, 0.52), 24 * style.body_px * 0.6 / request.size + 0.1)
    sheet = request.sheet(style, width=min(narrow, 1.0))
    _head(sheet, request)
    _items(sheet, request)
    if request.rng.random() < 0.8:
        sheet.skip(0.6)
        sheet.write(sheet.fitting(lambda: request.rng.choice(THANKS)), align="centre")
    sheet.crop()
    return sheet.layout


def _head(sheet: Sheet, request: PageRequest) -> None:
    rng = request.document_rng
    head = sheet.type(rng.choice((1.0, 1.2, 1.4)), bold=True)
    written = rng.choice((str, str.upper))
    shop = sheet.fitting(lambda: written(content.company(rng)), head)
    sheet.title(shop, head, align="centre")
    for part in (content.street(rng), content.postal_town(rng), f"Tel: {content.phone(rng)}"):
        if rng.random() < 0.85:
            sheet.write(part, align="centre", close=True)
    sheet.skip(0.5)
    rng = request.rng
    stamp = Cell(f"Date: {content.date(rng)}", sheet.left, sheet.right)
    clock = Cell(content.clock(rng), sheet.left, sheet.right, "right")
    fits = sheet.type().width(f"{stamp.text}   {clock.text}") < sheet.right - sheet.left
    number = f"{rng.choice(('Receipt', 'Invoice', 'Bill', 'Doc'))} No: {content.code(rng)}"
    sheet.add("text", [sheet.line([stamp, clock] if fits else [stamp]), sheet.line([number])])


def _items(sheet: Sheet, request: PageRequest) -> None:
    """Items, then their sum; prices in a column of their own on the right."""
    currency = request.document_rng.choice(content.CURRENCIES)
    price_left = sheet.right - sheet.room_for(content.money(Decimal(99999), currency))

    def row(name: str, price: Decimal, *, bold: bool = False) -> Line | None:
        type = sheet.type(bold=bold)
        name_cell = Cell(name, sheet.left, price_left - 4, "left", type)
        price_cell = Cell(content.money(price, currency), price_left, sheet.right, "right", type)
        return sheet.line([name_cell, price_cell])

    _separator(sheet)
    items = _bought(sheet, request.rng, price_left - 4 - sheet.left)
    sheet.add("text", [row(*item) for item in items])
    _separator(sheet)
    sums = _sums(request.rng, sum((price for _, price in items), Decimal(0)))
    sheet.add("text", [row(name, price, bold=name in TOTALS) for name, price in sums])


def _bought(sheet: Sheet, rng: random.Random, width: float) -> list[tuple[str, Decimal]]:
    """Names, no wider than `width` pixels, and what they cost."""
    most = min(rng.randint(1, 14), sheet.room() - 7, sheet.characters_left // 22)
    items = []
    for _ in range(max(1, most)):
        count = rng.choice((1, 1, 1, 2, 3, 6))
        make = partial(_item, rng, f"{count} x " if count > 1 else "")
        items.append((sheet.fitting(make, width=width), content.price(rng) * count))
    return items


def _item(rng: random.Random, times: str) -> str:
    return times + content.goods(rng)


def _sums(rng: random.Random, total: Decimal) -> list[tuple[str, Decimal]]:
    """What stands under the items: tax, total, and how it was paid."""
    sums = []
    if rng.random() < 0.6:
        rate = Decimal(rng.choice(TAX_RATES))
        tax = (total * rate / 100).quantize(content.CENT)
        sums = [("Subtotal", total), (f"Tax {rate}%", tax)]
        total += tax
    sums.append((rng.choice(TOTALS), total))
    return sums + (_payment(rng, total) if rng.random() < 0.6 else [])


def _payment(rng: random.Random, due: Decimal) -> list[tuple[str, Decimal]]:
    if rng.random() < 0.5:
        return [(rng.choice(("Card", "VISA", "Debit")), due)]
    note = Decimal(rng.choice((5, 10, 50)))
    paid = (due / note).to_integral_value(ROUND_CEILING) * note
    return [("Cash", paid), ("Change", paid - due)]


def _separator(sheet: Sheet) -> None:
    sheet.skip(0.3)
    if sheet.style.leading < 1.4:
        sheet.rule()
    sheet.skip(0.3)


KIND = Kind("receipts", lay_out, smallest_size=320)
