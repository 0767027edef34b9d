"""A line of text in the order in which its letters stand on the page, from left to right.

A PDF sets letters as they stand, and who copies from it turns what runs from right to left around
again. The parts of Unicode's bidirectional algorithm (https://www.unicode.org/reports/tr9/) that a
line of print needs: letters of either direction, numbers, and what stands between; no embedding.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from unicodedata import bidirectional

_RIGHT_TO_LEFT = ("R", "AL")
_NUMBERS = ("EN", "AN")
_MIRRORED = dict(zip("()[]{}<>«»‹›", ")(][}{><»«›‹", strict=True))


def visual_order(text: str) -> str:
    """The characters of a line from left to right; a line without Hebrew, Arabic or the like as
    it is."""
    kinds = list(map(bidirectional, text))
    if not any(kind in _RIGHT_TO_LEFT for kind in kinds):
        return text
    strong = [kind for kind in kinds if kind == "L" or kind in _RIGHT_TO_LEFT]
    base = 1 if strong[0] in _RIGHT_TO_LEFT else 0
    levels = _levels(kinds, base)
    characters = [
        _MIRRORED.get(character, character) if level % 2 else character
        for character, level in zip(text, levels, strict=True)
    ]
    return "".join(_reordered(characters, levels))


def _levels(kinds: Sequence[str], base: int) -> list[int]:
    """Per character: even runs to the right, odd to the left; deeper within the other direction."""
    directions: list[int | None] = []  # 0 right, 1 left; None: as what stands around
    for kind in kinds:
        if kind == "NSM" and directions:  # a mark on the letter before
            directions.append(directions[-1])
        elif kind == "L" or kind in _RIGHT_TO_LEFT:
            directions.append(int(kind != "L"))
        else:
            directions.append(None)
    before, after = _nearest(directions, base), _nearest(directions[::-1], base)[::-1]
    levels = []
    for kind, direction, left, right in zip(kinds, directions, before, after, strict=True):
        if direction is None and kind in _NUMBERS:
            levels.append(2 if left or base else 0)
            continue
        runs = direction if direction is not None else left if left == right else base
        levels.append(runs if runs or not base else 2)
    return _with_number_signs(kinds, levels)


def _nearest(directions: Sequence[int | None], base: int) -> list[int]:
    """For each place the direction of the last letter up to there."""
    found, last = [], base
    for direction in directions:
        last = last if direction is None else direction
        found.append(last)
    return found


def _with_number_signs(kinds: Sequence[str], levels: list[int]) -> list[int]:
    """A point, comma or currency sign that stands in or at a number belongs to it."""
    for place in range(1, len(kinds) - 1):
        if kinds[place] in ("CS", "ES") and {kinds[place - 1], kinds[place + 1]} <= set(_NUMBERS):
            levels[place] = levels[place - 1]
    for place, kind in enumerate(kinds):
        beside = (place - 1, place + 1)
        numbers = [p for p in beside if 0 <= p < len(kinds) and kinds[p] == "EN"]
        if kind == "ET" and numbers:
            levels[place] = levels[numbers[0]]
    return levels


def _reordered(characters: list[str], levels: Sequence[int]) -> list[str]:
    """Every run of a level or a higher one turned around, the deepest first."""
    pairs = list(zip(levels, characters, strict=True))
    for level in range(max(levels), 0, -1):
        turned = []
        for is_run, run in itertools.groupby(pairs, key=lambda pair: pair[0] >= level):
            turned += list(run)[:: -1 if is_run else 1]
        pairs = turned
    return [character for _, character in pairs]
