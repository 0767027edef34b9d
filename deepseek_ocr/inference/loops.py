"""The guard against repetition, part two: answers that would never end, found in what they say.

A loop repeats a unit of tokens, whatever its length; a count-up repeats a text in which nothing but
numbers change, each by one. Both are looked for now and then, so that a page ends some hundred
tokens into either. A table whose rows differ only in their number is a count-up, too, but an honest
one may have hundreds of rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from .guard import Guard

LOOP_TOKENS = 256
"""So many last tokens must repeat before an answer counts as a loop, and two whole units."""
LONGEST_UNIT = 320
"""Longest repeated unit that is looked for, in tokens."""

COUNT_TOKENS, COUNT_ITEMS = 800, 8
"""A count-up fills so many last tokens, with so many items at least."""
COUNT_ROWS = 400
"""In a table, only more rows than this that differ in numbers alone are a count-up."""
MOST_NUMBERS = 8
"""Of an item of a count-up."""

LOOP_EVERY, COUNT_EVERY = 32, 64
"""Tokens between two looks."""

_NUMBER = re.compile(r"[0-9]{1,15}")
_TABLE = re.compile(r"<t[dr]|\|")

Decode = Callable[[Sequence[int]], str]


def loop_unit(ids: Sequence[int] | np.ndarray, guarded: Sequence[int] = ()) -> int | None:
    """Length of the unit that the last tokens repeat, or None where they do not loop.

    The tokens that repeat are the last 256, or two units where that is more. The places that the
    guard decided do not count: it breaks a loop here and there, and the loop goes on.
    """
    start = max(0, len(ids) - loop_tail(LONGEST_UNIT) - LONGEST_UNIT)
    tokens = np.asarray(ids[start:])
    wanted = np.ones(len(tokens), dtype=bool)
    wanted[[place - start for place in guarded if place >= start]] = False
    for unit in range(1, LONGEST_UNIT + 1):
        tail = loop_tail(unit)
        if len(tokens) < LOOP_TOKENS + unit:
            return None
        if len(tokens) < tail + unit:
            continue
        newest, before = slice(len(tokens) - tail, None), slice(-tail - unit, -unit)
        if wanted[-1] and wanted[-1 - unit] and tokens[-1] != tokens[-1 - unit]:
            continue  # most end here
        differs = (tokens[newest] != tokens[before]) & wanted[newest] & wanted[before]
        if not differs.any():
            return unit
    return None


def loop_tail(unit: int) -> int:
    """How many last tokens must repeat a unit of this length."""
    return max(LOOP_TOKENS, 2 * unit)


def count_up(text: str) -> tuple[int, int]:
    """The count-up that a text ends with: its items, and the characters that they take.

    (0, 0) where there is none. The last number may be cut short.
    """
    literals = _NUMBER.split(text)
    numbers = [int(number) for number in _NUMBER.findall(text)]
    best = (0, 0)
    for period in range(1, min(MOST_NUMBERS, len(numbers) // 3) + 1):
        steps = _steps(numbers, literals, period)
        if steps:
            start = len(numbers) - 1 - period - steps  # the first number that takes part
            covered = sum(map(len, literals[start + 1 :]))
            covered += sum(len(str(number)) for number in numbers[start:])
            best = max(best, (steps // period + 1, covered), key=lambda found: found[1])
    return best


def _steps(numbers: Sequence[int], literals: Sequence[str], period: int) -> int:
    """How many numbers, from the end, go on from those `period` before them, all alike between.

    Some stay as they are, the others go up by one, or all down by one; the last is not looked at.
    """
    if not literals[-1 - period].startswith(literals[-1]):
        return 0
    direction, steps, moved = 0, 0, [False] * period
    for last in range(len(numbers) - 2, period - 1, -1):
        step = numbers[last] - numbers[last - period]
        if literals[last + 1] != literals[last + 1 - period] or abs(step) > 1:
            break
        if step and direction not in (0, step):
            break
        if steps >= period and moved[last % period] != bool(step):
            break
        moved[last % period] = bool(step)
        direction, steps = direction or step, steps + 1
    return steps if direction else 0


def counts_for_ever(ids: Sequence[int], decode: Decode) -> int | None:
    """Items of the count-up that the last tokens are, or None where they are none."""
    if len(ids) < COUNT_TOKENS:
        return None
    text = decode(ids[-COUNT_TOKENS:])
    items, covered = count_up(text)
    if items < COUNT_ITEMS or len(text) - covered > 2 * covered // items:
        return None
    if _TABLE.search(text):
        items, _ = count_up(decode(ids))
        return items if items > COUNT_ROWS else None
    return items


def why_stuck(
    ids: Sequence[int],
    decode: Decode,
    *,
    guard: Guard | None = None,
    guarded: Sequence[int] = (),
    before: int | None = None,
) -> str | None:
    """Why an answer so far will not end by itself; None where it may.

    Args:
        decode: ids to text.
        guard, guarded: the n-gram rule and the places of the tokens that it decided.
        before: tokens at the last look; only what is due since then is looked for. None: all.
    """
    if _is_due(len(ids), before, LOOP_EVERY):
        if (unit := loop_unit(ids, guarded)) is not None:
            return f"the last {loop_tail(unit)} tokens repeat a unit of {unit}"
        if guard is not None and (reason := guard.why_stuck(guarded, len(ids))) is not None:
            return reason
    if _is_due(len(ids), before, COUNT_EVERY):
        items = counts_for_ever(ids, decode)
        if items is not None:
            return f"the last {items} items differ only in numbers that count on"
    return None


def _is_due(length: int, before: int | None, every: int) -> bool:
    return before is None or before // every != length // every
