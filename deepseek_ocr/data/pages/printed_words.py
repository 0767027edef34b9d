"""Where words are printed on a page, and how tall their small letters are, without reading them.

Works on any script in lines: ink is what is darker than the paper around it, a word is ink with
small gaps, and its small letters are the band of rows that holds most of its ink (the x-height of
Latin letters; of scripts without small letters, nearly the whole height).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

MOST_PIXELS = 6_000_000
"""A larger page is looked at smaller."""
PATCH = 16  # pixels a side, over which paper is taken to be even
LEAST_CONTRAST = 24  # levels of 255
INK_CONTRAST = 0.35  # share of the strongest contrast; more than smudges and shine-through have
WORD_GAP = 0.5  # of a letter's height; within a word the gaps are smaller
FULL_ROW = 0.3
"""Share of the ink of the fullest rows; with it the band is as tall as the letter x."""
LEAST_HEIGHT_PX = 2
TALLEST = 1 / 10  # of the page: larger ones are figures
RULE = 12  # times as long as thick: a line, no letter
LEAST_WIDTH, MOST_WIDTH = 1.5, 20
"""Of a word, in heights of its band: narrower is a single letter or a speck, wider is a line."""
LEAST_BAND = 0.4  # of a word's height, which also holds what reaches above and below

WORD_FIELDS = [
    ("x", np.float32), ("y", np.float32), ("width", np.float32), ("height", np.float32),
    ("band", np.float32), ("above", np.float32), ("below", np.float32),
]  # fmt: skip


@dataclasses.dataclass(frozen=True, eq=False)
class Print:
    """The letters of a page.

    `ink` (h, w) bool; `scale`: its pixels a pixel of the page; `letter_height`: the median height
    of the pieces of ink, in its pixels; 0 where there are none.
    """

    ink: np.ndarray
    scale: float
    letter_height: float

    def turned_left(self) -> Print:
        """The same letters after a quarter turn against the clock."""
        return dataclasses.replace(self, ink=np.rot90(self.ink))


def find_print(page: Image.Image) -> Print:
    """The letters of an RGB page: ink without lines, frames, figures and specks."""
    from scipy import ndimage  # here, as it takes a third of a second

    grey, scale = _seen(page)
    ink = _letters(_ink(grey), ndimage)
    pieces = ndimage.find_objects(ndimage.label(ink, _ALL)[0])
    heights = [rows.stop - rows.start for rows, _ in pieces]
    return Print(ink, scale, float(np.median(heights)) if heights else 0.0)


def find_words(page: Image.Image) -> np.ndarray:
    """The words of an RGB page, as `words_of` gives them."""
    return words_of(find_print(page))


def words_of(letters: Print, full_row: float = FULL_ROW) -> np.ndarray:
    """Words in horizontal lines, one a row, in pixels of the page.

    A row of pixels belongs to the band of small letters if it has the share `full_row` of the ink
    of the fullest rows. `x`, `y`, `width`, `height`: their boxes; `band`: the height of their small
    letters; `above` and `below`: shares of their columns with ink over and under that band.
    """
    from scipy import ndimage

    ink, scale = letters.ink, letters.scale
    gap = max(2, round(WORD_GAP * letters.letter_height))
    joined = ndimage.maximum_filter1d(ink, gap + 1, axis=1)
    labels, _ = ndimage.label(joined, _ALL)
    words = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        own = ink[rows, columns] & (labels[rows, columns] == number)
        word = _word(own, columns.start, rows.start, full_row)
        if word is not None:
            words.append(word)
    found = np.array(words, WORD_FIELDS) if words else np.empty(0, WORD_FIELDS)
    for name in ("x", "y", "width", "height", "band"):
        found[name] /= scale
    return found


_ALL = np.ones((3, 3), bool)  # touching at a corner is touching


def _seen(page: Image.Image) -> tuple[np.ndarray, float]:
    """(h, w) grey of 8 bits, dark on light, and its pixels a pixel of the page."""
    grey = page.convert("L")
    scale = min(1.0, (MOST_PIXELS / (page.width * page.height)) ** 0.5)
    if scale < 1:
        size = (max(1, round(page.width * scale)), max(1, round(page.height * scale)))
        grey = grey.resize(size, Image.Resampling.BOX)
    pixels = np.asarray(grey)
    return (255 - pixels if np.median(pixels) < 128 else pixels), scale


def _ink(grey: np.ndarray) -> np.ndarray:
    """(h, w) bool: what is clearly darker than the paper around it."""
    contrast = np.maximum(_paper(grey) - grey, 0)
    strongest = float(np.percentile(contrast, 99.5))
    return contrast > max(LEAST_CONTRAST, INK_CONTRAST * strongest)


def _paper(grey: np.ndarray) -> np.ndarray:
    """(h, w) the lightness of the paper: of each patch the lightest, without single lights."""
    height, width = grey.shape
    padded = np.pad(grey, ((0, -height % PATCH), (0, -width % PATCH)), mode="edge")
    rows, columns = padded.shape[0] // PATCH, padded.shape[1] // PATCH
    lightest = padded.reshape(rows, PATCH, columns, PATCH).max((1, 3))
    smooth = Image.fromarray(lightest).filter(ImageFilter.MedianFilter(3))
    full = smooth.resize((columns * PATCH, rows * PATCH), Image.Resampling.BILINEAR)
    return np.asarray(full, np.int16)[:height, :width]


def _letters(ink: np.ndarray, ndimage: Any) -> np.ndarray:
    """(h, w) bool: of the pieces of ink those that may be letters."""
    labels, count = ndimage.label(ink, _ALL)
    is_letter = np.zeros(count + 1, bool)
    tallest = max(8.0, TALLEST * max(ink.shape))
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        height, width = rows.stop - rows.start, columns.stop - columns.start
        is_rule = max(height, width) > RULE * min(height, width)
        is_letter[number] = LEAST_HEIGHT_PX <= height <= tallest and not is_rule
    return is_letter[labels]


def _word(own: np.ndarray, x: int, y: int, full_row: float) -> tuple[float, ...] | None:
    """The fields of one word, whose ink alone `own` holds; None: too narrow to be one."""
    profile = own.sum(1)
    inked = np.flatnonzero(own.any(0))
    if not len(inked):
        return None
    width = int(inked[-1] - inked[0]) + 1
    full = profile > full_row * np.sort(profile)[-max(1, len(profile) // 4) :].mean()
    first, last = _longest_run(full)
    band = last - first
    rows = np.flatnonzero(profile)
    height = int(rows[-1] - rows[0]) + 1
    if not LEAST_WIDTH * band <= width <= MOST_WIDTH * band or band < LEAST_BAND * height:
        return None
    above, below = (part.any(0).sum() / len(inked) for part in (own[:first], own[last:]))
    return x + inked[0], y + rows[0], width, height, band, above, below


def _longest_run(rows: np.ndarray) -> tuple[int, int]:
    """First and one past the last of the longest run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], rows, [False]]).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    longest = int(np.argmax(ends - starts))
    return int(starts[longest]), int(ends[longest])
