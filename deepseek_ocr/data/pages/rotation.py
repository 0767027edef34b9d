"""Which way up a page stands, by what its lines of print look like; no letter is read.

Lines: across them, the ink changes abruptly (letters stand on one line and end at one height);
along them it does not. Up and down: in Latin, Cyrillic and Greek print more letters reach up
(b d f h k l t, capitals, digits beside small letters) than down (g j p q y). Other scripts, and
print in capitals or digits alone, say nothing about up and down: they are turned by a quarter, so
that lines are horizontal, or left alone. How often it is right: benchmarks/auto_mode.py.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from .printed_words import Print, find_print, words_of

LEAST_LETTERS_PX = 3
"""Letters that are not taller show nothing."""
PIECES = 16
"""A stretch of a line, in letter heights; in so many pieces it is tried at every slope."""
SLOPES = np.arange(-10, 11) / 100
"""Of lines that are not quite straight: up to six degrees."""
SURELY_HORIZONTAL, SURELY_VERTICAL = 0.45, 0.55
"""Share of the abrupt changes that lie across vertical lines: below the one and above the other
the lines are found."""
FULL_ROW = 0.35
"""Which rows are the band of small letters; see `words_of`."""
LEAST_REACH, MOST_REACH = 0.1, 0.7
"""Shares of a word's columns: by the one the columns that reach up must outnumber those that reach
down, or the other way round; if more than the other do either, it has no small letters."""
LEAST_MINORITY = 0.03
"""Of the words, that must reach the other way than most; in capitals and digits alone none does."""
SURELY_UPSIDE_DOWN = 1.6
"""Standard deviations by which words that reach down outnumber those that reach up."""


def find_rotation(page: Image.Image) -> int:
    """The degrees clockwise (0, 90, 180, 270) that turn an RGB page until its letters stand up.

    0 where that is not clear.
    """
    letters = find_print(page)
    if letters.letter_height < LEAST_LETTERS_PX:
        return 0
    share = _share_of_vertical_lines(letters)
    if share < SURELY_HORIZONTAL:
        return 180 if _is_upside_down(*_reaching_words(letters)) else 0
    if share < SURELY_VERTICAL:
        return 0
    up, down = _reaching_words(letters.turned_left())
    return 90 if down > up else 270


def _share_of_vertical_lines(letters: Print) -> float:
    piece = max(1, round(letters.letter_height))
    horizontal, vertical = _changes(letters.ink, piece), _changes(letters.ink.T, piece)
    return vertical / max(horizontal + vertical, 1.0)


def _changes(ink: np.ndarray, piece: int) -> float:
    """How abruptly ink changes from row to row along stretches, at the slope that they have."""
    rows = np.add.reduceat(ink, np.arange(0, ink.shape[1], piece), axis=1, dtype=np.int32)
    rows = np.pad(rows, ((0, 0), (0, -rows.shape[1] % PIECES)))
    most = 0.0
    for slope in SLOPES:
        stretches = sum(
            np.roll(rows[:, place::PIECES], round(slope * piece * place), axis=0)
            for place in range(PIECES)
        )
        most = max(most, float((np.diff(stretches, axis=0).astype(np.float64) ** 2).sum()))
    return most


def _reaching_words(letters: Print) -> tuple[int, int]:
    """How many words reach up, and how many down, more than the other way."""
    words = words_of(letters, FULL_ROW)
    words = words[np.maximum(words["above"], words["below"]) < MOST_REACH]
    reach = words["above"] - words["below"]
    return int((reach > LEAST_REACH).sum()), int((reach < -LEAST_REACH).sum())


def _is_upside_down(up: int, down: int) -> bool:
    """Whether so many more words reach down than up that chance does not explain it."""
    if up < LEAST_MINORITY * (up + down):
        return False
    return down - up > SURELY_UPSIDE_DOWN * (up + down) ** 0.5
