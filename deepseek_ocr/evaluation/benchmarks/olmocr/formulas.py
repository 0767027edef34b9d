"""Whether a formula is drawn somewhere in an answer: the checks of kind `math`.

Two drawings agree where the one's MathML stands in the other's, or where every symbol of the one
can be given a symbol of the other such that neighbours above, below, left and right agree. Rules of
github.com/allenai/olmocr, `olmocr/bench/katex/render.py` (Apache-2.0), written anew.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from .answer import Answer
from .checks import PASSED, MathCheck, Verdict
from .katex import Drawing, Katex, Symbol

TOLERANCE = 5.0
"""CSS pixels by which neighbours may lie off the line."""
MAX_STEPS = 100_000
"""Assignments tried for two formulas; only a page of equal symbols needs more."""
MAX_SYMBOLS = 1_500
"""Of a formula in an answer; a longer one is a loop of the model."""

Neighbours = tuple[int | None, int | None, int | None, int | None]
"""The symbol (by number) nearest above, below, to the left and to the right."""


class MathJudge:
    """Verdicts on checks of kind `math`; all that they need is drawn at once."""

    def __init__(self, checks: Iterable[tuple[MathCheck, Answer]], katex: Katex):
        formulas: dict[str, None] = {}
        for check, answer in checks:
            candidates = check.candidates(answer)
            formulas[check.math] = None
            formulas.update(dict.fromkeys(candidates if check.math not in candidates else ()))
        self._drawn: Mapping[str, Drawing | None] = katex.draw(formulas)

    def judge(self, check: MathCheck, answer: Answer) -> Verdict:
        """Passed where the formula is written the same or looks the same."""
        reference = self._drawn[check.math]
        if reference is None:
            return Verdict(None, "KaTeX cannot draw the check's own formula")
        candidates = check.candidates(answer)
        if check.math in candidates:
            return PASSED
        for candidate in candidates:
            drawing = self._drawn[candidate]
            if drawing is not None and looks_alike(reference, drawing):
                return PASSED
        return Verdict(False, f"none of {len(candidates)} formulas looks like it")


def looks_alike(reference: Drawing, drawing: Drawing) -> bool:
    """Whether all that the reference draws is found in the drawing, in the same places."""
    if reference.mathml in drawing.mathml:
        return True
    if len(drawing.symbols) > MAX_SYMBOLS:
        return False
    choices = [
        [place for place, other in enumerate(drawing.symbols) if other.text == symbol.text]
        for symbol in reference.symbols
    ]
    return all(choices) and _can_be_assigned(reference.symbols, drawing.symbols, choices)


@functools.lru_cache(maxsize=4096)  # an answer's formula meets every check of its page
def neighbours(symbols: tuple[Symbol, ...]) -> tuple[Neighbours, ...]:
    """The neighbours of every symbol."""
    if not symbols:
        return ()
    x = np.array([symbol.x for symbol in symbols])
    y = np.array([symbol.y for symbol in symbols])
    right, down = x[None] - x[:, None], y[None] - y[:, None]  # of the other, seen from each
    beside, above = np.abs(down) <= TOLERANCE, np.abs(right) <= TOLERANCE
    return tuple(
        zip(
            *(_nearest(-down, above), _nearest(down, above)),
            *(_nearest(-right, beside), _nearest(right, beside)),
            strict=True,
        )
    )


def _nearest(distance: np.ndarray, in_line: np.ndarray) -> list[int | None]:
    """For each row the column of the least distance above 0 in line; None without one."""
    reachable = np.where(in_line & (distance > 0), distance, np.inf)
    best = reachable.argmin(axis=1)
    found = np.isfinite(reachable[np.arange(len(best)), best])
    return [int(column) if ok else None for column, ok in zip(best, found, strict=True)]


def _can_be_assigned(
    reference: tuple[Symbol, ...], others: tuple[Symbol, ...], choices: Sequence[Sequence[int]]
) -> bool:
    """Whether each symbol gets another of its text, all different, with agreeing neighbours."""
    around, around_others = neighbours(reference), neighbours(others)
    assigned: dict[int, int] = {}

    def fits(symbol: int, other: int) -> bool:
        pairs = zip(around[symbol], around_others[other], strict=True)
        for near, near_other in pairs:
            if near is None:
                continue
            if near_other is None:
                return False
            if near in assigned:
                if assigned[near] != near_other:
                    return False
            elif others[near_other].text != reference[near].text:
                return False
        return True

    open_choices: list[Iterator[int]] = [iter(choices[0])] if choices else []
    steps = 0
    while open_choices:
        symbol = len(open_choices) - 1
        assigned.pop(symbol, None)
        taken = set(assigned.values())
        for other in open_choices[-1]:
            steps += 1
            if steps > MAX_STEPS:
                return False
            if other not in taken and fits(symbol, other):
                assigned[symbol] = other
                break
        else:
            open_choices.pop()
            continue
        if symbol + 1 == len(choices):
            return True
        open_choices.append(iter(choices[symbol + 1]))
    return not choices
