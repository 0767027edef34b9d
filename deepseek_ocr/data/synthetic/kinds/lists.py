"""A heading and one or two lists, bulleted or numbered."""

from __future__ import annotations

from collections.abc import Callable

from .. import content, words
from ..layout import Layout, Line
from ..request import Kind, PageRequest
from ..sheet import Cell, Sheet


def lay_out(request: PageRequest) -> Layout:
    """Shopping lists, agendas, instructions."""
    rng = request.rng
    sheet = request.sheet(request.style(body=(1 / 60, 1 / 38)))
    head = sheet.type(rng.uniform(1.2, 1.6), bold=True, accent=True)
    sheet.title(sheet.fitting(lambda: words.heading(rng), head), head)
    for part in range(rng.choice((1, 1, 2))):
        sheet.skip(0.6)
        if part or rng.random() < 0.4:
            sheet.title(words.heading(rng), sheet.type(1.1, bold=True), level=2)
            sheet.skip(0.3)
        _items(sheet, rng.randint(2, 9))
    if rng.random() < 0.6:
        sheet.crop()
    return sheet.layout


def _items(sheet: Sheet, count: int) -> None:
    rng = sheet.rng
    mark = rng.choice(("•", "-", "*", "{}.", "{})", "({})"))
    wide = sheet.type().width(mark.format(count) + " ") + 4
    make: Callable[[], str] = rng.choice(
        (
            lambda: content.goods(rng),
            lambda: content.person(rng),
            lambda: words.capitalised(words.phrase(rng, rng.randint(1, 3))),
            lambda: f"{content.clock(rng)} {words.capitalised(words.phrase(rng, 1))}",
        )
    )
    lines: list[Line | None] = []
    for number in range(1, count + 1):
        if sheet.characters_left - sum(len(line.text) for line in lines if line) < 12:
            break
        item = Cell(
            sheet.fitting(make, width=sheet.right - sheet.left - wide),
            sheet.left + wide,
            sheet.right,
        )
        lines.append(sheet.line([Cell(mark.format(number), sheet.left, sheet.left + wide), item]))
    numbered = "{}" in mark
    markdown = [
        f"{f'{number}.' if numbered else '-'} {' '.join(run.text for run in line.runs[1:])}"
        for number, line in enumerate(lines, start=1)
        if line
    ]
    sheet.add("list", lines, "\n".join(markdown))


KIND = Kind("lists", lay_out, smallest_size=320)
