"""A page with its regions drawn: what the model saw, and where."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from .regions import Box, Region

COLOURS = (
    (200, 30, 30),
    (20, 110, 200),
    (20, 140, 60),
    (190, 100, 0),
    (130, 50, 170),
    (0, 130, 140),
)
TINT = 28  # of 255: how much of its colour a region gets
MAX_DRAWN = 5_000  # regions; more would only be one colour
MAX_WRITTEN = 40  # characters of a label


def with_boxes(picture: Image.Image, regions: Sequence[Region]) -> Image.Image:
    """A copy of a page with each region tinted, framed and named: its number and label.

    A label has the same colour on every page. Lines without a label are numbered alone.
    """
    layer = Image.new("RGBA", picture.size)
    draw = ImageDraw.Draw(layer)
    thickness = max(1, round(max(picture.size) / 700))
    font = ImageFont.load_default(max(10.0, max(picture.size) / 90))
    for region in regions[:MAX_DRAWN]:
        colour = colour_of(region.label)
        inside = _inclusive(region.box)
        draw.rectangle(inside, fill=(*colour, TINT), outline=(*colour, 255), width=thickness)
    for number, region in enumerate(regions[:MAX_DRAWN], start=1):
        _write_name(
            draw, f"{number} {' '.join(region.label.split())[:MAX_WRITTEN]}".strip(), region, font
        )
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")


def colour_of(label: str) -> tuple[int, int, int]:
    """The colour of all regions of a label."""
    return COLOURS[zlib.crc32(label.encode("utf-8", "replace")) % len(COLOURS)]


def _write_name(
    draw: ImageDraw.ImageDraw,
    name: str,
    region: Region,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    """The name on white, above the region; inside it at the page's upper edge."""
    right, bottom = draw.textbbox((0, 0), name, font=font)[2:]
    x = region.box[0]
    y = max(0, region.box[1] - round(bottom) - 1)
    draw.rectangle((x, y, x + right + 1, y + bottom + 1), fill=(255, 255, 255, 215))
    draw.text((x + 1, y), name, fill=(*colour_of(region.label), 255), font=font)


def _inclusive(box: Box) -> Box:
    x1, y1, x2, y2 = box
    return x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)
