"""Where the ink of a page is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image, ImageChops

if TYPE_CHECKING:
    from collections.abc import Sequence

FAINTEST_INK = 24  # levels of 255 from the background; JPEG noise stays below
LEAST_MARGIN, MOST_MARGIN = 8, 64  # pixels


def content_box(page: Image.Image) -> tuple[int, int, int, int] | None:
    """(x1, y1, x2, y2) in page pixels around all that differs from the background; None if blank.

    The background is the page's most frequent colour.
    """
    background = Image.new("RGB", (1, 1), _most_frequent(page)).resize(page.size)
    difference = ImageChops.difference(page, background)
    red, green, blue = difference.split()
    strongest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    return strongest.point([0] * FAINTEST_INK + [255] * (256 - FAINTEST_INK)).getbbox()


def cut_to_content(page: Image.Image) -> Image.Image:
    """The page cut to its ink and a margin of a quarter of its shorter side, 8 to 64 pixels.

    Not a speck of ink is lost; a blank page stays whole.
    """
    box = content_box(page)
    if box is None:
        return page
    x1, y1, x2, y2 = box
    margin = min(max(min(x2 - x1, y2 - y1) // 4, LEAST_MARGIN), MOST_MARGIN)
    left, top = max(x1 - margin, 0), max(y1 - margin, 0)
    return page.crop((left, top, min(x2 + margin, page.width), min(y2 + margin, page.height)))


def _most_frequent(page: Image.Image) -> tuple[int, ...]:
    """The colour made of each channel's most frequent level."""
    histogram: Sequence[int] = page.histogram()
    channels = (histogram[start : start + 256] for start in range(0, len(histogram), 256))
    return tuple(max(range(256), key=channel.__getitem__) for channel in channels)
