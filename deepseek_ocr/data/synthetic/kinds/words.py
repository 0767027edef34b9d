"""A few words, numbers or short lines anywhere on a square picture: what is learned to read first.

The type is as large in pixels however large the picture, so that the pictures may grow while a
network learns. Half of the text means nothing: who learns from it has to read, not to recite.
"""

from __future__ import annotations

import bisect
import random
from collections.abc import Callable

from .. import content, words
from ..layout import Layout
from ..request import Kind, PageRequest
from ..sheet import Cell, Sheet

TYPE_PX = (11, 26)  # from small to large print
MARGIN_PX = 2
MOST_LINES = 24
CHARACTERS_A_LINE = 24  # about; where nothing limits them
SIGNS = ".,:;!?()[]/+-*=#%&@'\"$€£<>_"
MIXED = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def lay_out(request: PageRequest) -> Layout:
    """Lines under each other as one block, or each somewhere in its line."""
    rng = request.rng
    style = request.style(
        monospaced=rng.random() < 0.2,
        body=(TYPE_PX[0] / request.size, TYPE_PX[1] / request.size),
        margin=(MARGIN_PX / request.size, MARGIN_PX / request.size),
    )
    sheet = request.sheet(style, width=1.0)
    type = sheet.type(bold=rng.random() < 0.2, italic=rng.random() < 0.2)
    most = request.max_characters or MOST_LINES * CHARACTERS_A_LINE
    num_lines = rng.randint(1, max(1, min(sheet.room(type), MOST_LINES, -(-most // 8))))
    texts = [_fitting(rng, sheet, max(1, most // num_lines)) for _ in range(num_lines)]
    sheet.y += rng.uniform(0, max(0.0, sheet.bottom - sheet.y - num_lines * sheet.line_height()))
    spare = sheet.right - sheet.left - 4
    aligned = rng.random() < 0.6
    left = rng.uniform(0, max(0.0, spare - max(map(type.width, texts))))
    for text in texts:
        if not aligned:
            left = rng.uniform(0, max(0.0, spare - type.width(text)))
        cell = Cell(text, sheet.left + left, sheet.right, type=type)
        sheet.add("text", [sheet.line([cell])], close=True)
    return sheet.layout


def _fitting(rng: random.Random, sheet: Sheet, most: int) -> str:
    """A text of at most `most` characters that is not wider than the sheet."""
    type, width = sheet.type(bold=True), sheet.right - sheet.left - 6
    text = type.face.printable(some_text(rng, rng.randint(1, most)))
    if type.width(text) > width:
        lengths = range(1, len(text) + 1)
        text = text[: bisect.bisect(lengths, width, key=lambda n: type.width(text[:n])) or 1]
    return text.strip() or rng.choice(MIXED)


def some_text(rng: random.Random, most: int) -> str:
    """Up to `most` characters of anything that documents hold, or of nothing in particular."""
    make = rng.choices(tuple(SHARES), tuple(SHARES.values()))[0]
    text = make(rng)
    while len(text) < most and rng.random() < 0.8:
        text += " " + make(rng)
    if len(text) > most:
        cut = text[: most + 1].rpartition(" ")[0].strip()
        text = cut if cut and rng.random() < 0.7 else text[:most]
    text = text.strip()
    return text.upper() if rng.random() < 0.15 else text


def _word(rng: random.Random) -> str:
    word = words.by_frequency(rng, rng.choice((words.NOUNS, words.VERBS, words.ADJECTIVES)))
    return rng.choice((word, word, words.capitalised(word), words.plural(word)))


def _made_up(rng: random.Random) -> str:
    word = words.made_up_word(rng)
    return rng.choice((word, words.capitalised(word)))


def _random_letters(rng: random.Random) -> str:
    return "".join(rng.choices(MIXED, k=rng.randint(1, 8)))


def _random_signs(rng: random.Random) -> str:
    pool = rng.choice((SIGNS, SIGNS + MIXED))
    return "".join(rng.choices(pool, k=rng.randint(1, 6)))


def _number(rng: random.Random) -> str:
    digits = content.digits(rng, rng.randint(1, 7))
    return rng.choice((digits, digits, f"{digits}.{content.digits(rng, 2)}", f"{digits}%"))


def _money(rng: random.Random) -> str:
    return content.money(content.amount(rng, 3000), rng.choice(content.CURRENCIES))


SHARES: dict[Callable[[random.Random], str], int] = {
    _word: 22,
    _made_up: 16,
    _random_letters: 14,
    _random_signs: 5,
    _number: 8,
    _money: 4,
    words.sentence: 12,
    content.code: 4,
    content.date: 4,
    content.person: 4,
    content.company: 2,
    content.street: 1,
    content.postal_town: 1,
    content.phone: 1,
    content.web_address: 1,
    content.goods: 1,
}
"""How often each sort of text comes, in parts of a hundred."""


KIND = Kind("words", lay_out, smallest_size=64)
