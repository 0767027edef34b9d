"""What a page looks like, in 64 bits, wherever its content lies on the page.

The ink is framed by its own mean and spread, so that margins do not matter, and scaled to 32 x 32;
the bits say which of its 64 lowest frequencies (a discrete cosine transform) are above the median.
All arithmetic that decides a bit is exact, so that every machine finds the same.

Measured by `benchmarks/perceptual_hash.py` on 401 pictures (receipts, lines, formulas, tables,
letters, printed pages; 160 of them drawn by `deepseek-ocr synth`). Within 4 bits of the page itself
were 100 % of its copies as JPEG of quality 50, 99 % at 70 % of its size, 99 % with other margins,
100 % in grey and 97 % with all of that. Of 8,838 pairs of other pages of one kind there were 4,
receipts on one form.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from PIL import Image

if TYPE_CHECKING:
    import numpy as np

BLANK = 0
"""The hash of a page without ink."""

FITTED_SIDE = 768  # pixels of the longer side of what is looked at; thin strokes survive it
LEAST_CONTRAST = 16  # levels of 255 between paper and ink; less is the scanner's noise
SPECKS = 24  # pixels of other ink on a page that is blank all the same
FAINTEST_INK = 0.1  # of the darkest ink
SPREADS = 1.85  # standard deviations on each side of the mean; evenly spread ink has 1.73
ROOM = 2.6  # standard deviations that are looked at closely
GRID, FREQUENCIES = 32, 8


def perceptual_hash(page: Image.Image) -> int:
    """64 bits of a page of any mode and size: pages that look alike differ in few of them.

    Not a sign of equality: pages filled in on one form differ little, and `BLANK` is every page
    without ink.
    """
    grey = page.convert("L")
    ink = _ink(grey)
    if ink is None:
        return BLANK
    close = grey.crop(_room(ink, grey.size))
    ink = _ink(close)
    if ink is None:
        return BLANK
    return _bits(_framed(ink)) or 1


def _ink(grey: Image.Image) -> Image.Image | None:
    """How much darker or lighter than the paper, 0 to 255, fitted to `FITTED_SIDE`."""
    import numpy as np  # here and below, so that commands answer before it is loaded

    scale = FITTED_SIDE / max(grey.size)
    size = (max(1, round(grey.width * scale)), max(1, round(grey.height * scale)))
    fitted = grey.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    counts = np.array(fitted.histogram())
    paper = int(np.convolve(counts, np.ones(9, np.int64), "same").argmax())
    distances = np.abs(np.arange(256) - paper)
    order = np.argsort(-distances, kind="stable")
    specks = min(SPECKS, fitted.width * fitted.height // 500)
    darkest = int(distances[order[np.searchsorted(counts[order].cumsum(), specks, "right")]])
    if darkest < LEAST_CONTRAST:
        return None
    faintest = FAINTEST_INK * darkest
    levels = (distances - faintest) * (255 / (darkest - faintest))
    return fitted.point(levels.round().clip(0, 255).astype(int).tolist())


def _room(ink: Image.Image, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The part of a page of `size` around its ink, in pixels of the page."""
    (x, spread_x), (y, spread_y) = _mean_and_spread(ink)
    across, down = size[0] / ink.width, size[1] / ink.height
    left, right = (x - ROOM * spread_x) * across, (x + ROOM * spread_x) * across
    top, bottom = (y - ROOM * spread_y) * down, (y + ROOM * spread_y) * down
    return (
        max(int(left) - 4, 0),
        max(int(top) - 4, 0),
        min(int(right) + 5, size[0]),
        min(int(bottom) + 5, size[1]),
    )


def _framed(ink: Image.Image) -> np.ndarray[Any, Any]:
    """(GRID, GRID) amounts of ink within `SPREADS`; beyond the page there is none."""
    import numpy as np

    (x, spread_x), (y, spread_y) = _mean_and_spread(ink)
    left, right = x - SPREADS * spread_x, x + SPREADS * spread_x
    top, bottom = y - SPREADS * spread_y, y + SPREADS * spread_y
    outer = (int(left) - 2, int(top) - 2, int(right) + 3, int(bottom) + 3)
    box = (left - outer[0], top - outer[1], right - outer[0], bottom - outer[1])
    finer = ink.crop(outer).convert("I").point(lambda level: level * 256)  # 8 bits would be few
    grid = finer.resize((GRID, GRID), Image.Resampling.LANCZOS, box=box)
    return np.asarray(grid, np.int64)


def _mean_and_spread(ink: Image.Image) -> list[tuple[float, float]]:
    """Mean and standard deviation of the ink's place, in pixels: across, then down."""
    import numpy as np

    levels = np.asarray(ink)
    found = []
    for axis in (0, 1):
        amounts = levels.sum(axis, dtype=np.int64)
        total = int(amounts.sum())
        places = 2 * np.arange(len(amounts)) + 1  # twice the middle of each pixel
        first = int((amounts * places).sum())
        second = int((amounts * places**2).sum())
        variance = (second * total - first * first) / (4 * total * total)
        found.append((first / (2 * total), (variance + 1 / 12) ** 0.5))
    return found


def _bits(grid: np.ndarray[Any, Any]) -> int:
    import numpy as np

    cosines = _cosines()
    lowest = cosines @ grid @ cosines.T  # (FREQUENCIES, FREQUENCIES)
    bits = np.packbits(lowest > np.median(lowest))
    return int.from_bytes(bits.tobytes(), "big")


@functools.cache
def _cosines() -> np.ndarray[Any, Any]:
    """(FREQUENCIES, GRID) rows of a discrete cosine transform, in whole numbers."""
    import numpy as np

    frequencies, places = np.arange(FREQUENCIES)[:, None], np.arange(GRID)[None]
    return np.rint(4096 * np.cos(np.pi * frequencies * (2 * places + 1) / (2 * GRID))).astype(int)
