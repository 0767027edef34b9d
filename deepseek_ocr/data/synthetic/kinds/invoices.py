"""Invoices: sender, customer, number and date, positions in a table, net, tax and total."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from .. import content
from ..layout import Layout, Line
from ..request import Kind, PageRequest
from ..sheet import Cell, Sheet

HEADER = ("Description", "Qty", "Price", "Amount")
EDGES = (0.0, 0.46, 0.56, 0.77, 1.0)  # of the columns, as shares of the width


def lay_out(request: PageRequest) -> Layout:
    """One page; positions fill what head and totals leave."""
    rng = request.rng
    sheet = request.sheet(request.style(margin=(0.06, 0.09), body=(1 / 66, 1 / 50)))
    _head(sheet, request)
    sheet.skip(1)
    total = _positions(sheet, request)
    sheet.skip(0.5)
    _totals(sheet, request, total)
    sheet.skip(1)
    days = rng.choice((7, 14, 30, 60))
    sheet.paragraph(f"Please pay within {days} days to account {content.digits(rng, 10)}.")
    if rng.random() < 0.4:
        sheet.crop()
    return sheet.layout


def _head(sheet: Sheet, request: PageRequest) -> None:
    sender, rng = request.document_rng, request.rng
    head = sheet.type(1.5, bold=True, accent=True)
    sheet.title(sheet.fitting(lambda: content.company(sender), head), head)
    sheet.write(
        f"{content.street(sender)}, {content.postal_town(sender)}", sheet.type(0.9), close=True
    )
    sheet.skip(1.2)
    customer = (content.person(rng), content.street(rng), content.postal_town(rng))
    sheet.add("text", [sheet.line([part]) for part in customer])
    sheet.skip(1)
    number = f"Invoice {content.letters(rng, 2)}-{content.digits(rng, rng.randint(3, 6))}"
    sheet.title(number, sheet.type(1.2, bold=True), level=2)
    sheet.write(f"Date: {content.date(rng)}", close=True)


def _row(sheet: Sheet, texts: Sequence[str], *, bold: bool = False) -> Line | None:
    width, type = sheet.right - sheet.left, sheet.type(bold=bold)
    return sheet.line(
        [
            Cell(
                text,
                sheet.left + width * EDGES[number],
                sheet.left + width * EDGES[number + 1],
                "right" if number else "left",
                type,
            )
            for number, text in enumerate(texts)
            if text
        ]
    )


def _positions(sheet: Sheet, request: PageRequest) -> Decimal:
    """The table; the sum of its amounts comes back."""
    rng, total = request.rng, Decimal(0)
    header = _row(sheet, HEADER, bold=True)
    sheet.rule()
    lines = [header]
    most = min(rng.randint(1, 10), sheet.room() - 6, sheet.characters_left // 34)
    for _ in range(max(1, most)):
        count, price = rng.randint(1, 20), content.price(rng, 90)
        width = (sheet.right - sheet.left) * EDGES[1]
        goods = sheet.fitting(lambda: content.goods(rng), width=width)
        texts = (goods, str(count), content.money(price), content.money(price * count))
        line = _row(sheet, texts)
        if line is None:
            break
        lines.append(line)
        total += price * count
    sheet.rule()
    sheet.table(lines, [[run.text for run in line.runs] for line in lines if line])
    return total


def _totals(sheet: Sheet, request: PageRequest, net: Decimal) -> None:
    rate = Decimal(request.rng.choice((5, 7, 10, 19, 20)))
    tax = (net * rate / 100).quantize(content.CENT)
    currency = request.document_rng.choice(content.CURRENCIES)
    price_left = sheet.right - sheet.room_for(content.money(Decimal(99999), currency))
    middle = price_left - sheet.room_for("Total due ")
    lines = []
    for name, value in (("Net", net), (f"VAT {rate}%", tax), ("Total due", net + tax)):
        type = sheet.type(bold=name == "Total due")
        name_cell = Cell(name, middle, price_left, "left", type)
        price = Cell(content.money(value, currency), price_left, sheet.right, "right", type)
        lines.append(sheet.line([name_cell, price]))
    sheet.add("text", lines)


KIND = Kind("invoices", lay_out, smallest_size=400)
