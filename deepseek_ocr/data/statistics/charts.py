"""Histograms as a picture, drawn with Pillow: loading a plotting library takes a second."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from PIL import Image, ImageDraw

from .lengths import Histogram
from .lettering import font

PANEL_WIDTH, PANEL_HEIGHT, MARGIN = 560, 260, 28  # pixels
COLUMNS = 2
TOP, BOTTOM = 64, 30  # room for title and note, and for the values under the bars
PAPER, INK, FAINT, BAR, AXIS = "white", (25, 25, 25), (110, 110, 110), (76, 120, 168), (160,) * 3
MIN_LABEL_GAP = 10
LEAST_BARS = 8  # fewer leave room on the right: one bar as wide as the panel says nothing


@dataclasses.dataclass(frozen=True, kw_only=True)
class Panel:
    """One histogram with its `title` and a line below it, such as its quantiles."""

    title: str
    note: str
    histogram: Histogram


def draw_panels(panels: Sequence[Panel], heading: str = "") -> Image.Image:
    """The panels two in a row, under a heading."""
    head = MARGIN + 24 if heading else MARGIN
    num_rows = math.ceil(len(panels) / COLUMNS)
    size = (
        MARGIN + COLUMNS * (PANEL_WIDTH + MARGIN),
        head + num_rows * (PANEL_HEIGHT + MARGIN),
    )
    image = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((MARGIN, 16), heading, fill=INK, font=font(18, bold=True))
    for number, panel in enumerate(panels):
        row, column = divmod(number, COLUMNS)
        place = (MARGIN + column * (PANEL_WIDTH + MARGIN), head + row * (PANEL_HEIGHT + MARGIN))
        _draw_panel(draw, panel, *place)
    return image


def _draw_panel(draw: ImageDraw.ImageDraw, panel: Panel, left: int, top: int) -> None:
    draw.text((left, top), panel.title, fill=INK, font=font(15, bold=True))
    draw.text((left, top + 21), panel.note, fill=FAINT, font=font(12))
    base = top + PANEL_HEIGHT - BOTTOM
    draw.line((left, base, left + PANEL_WIDTH, base), fill=AXIS)
    counts = panel.histogram.counts
    if not counts:
        draw.text((left, base - 20), "none", fill=FAINT, font=font(12))
        return
    room = PANEL_WIDTH / max(LEAST_BARS, len(counts))
    highest = max(counts)
    for bar, count in enumerate(counts):
        x1, x2 = left + bar * room, left + (bar + 1) * room
        height = (base - top - TOP) * count / highest
        if count:
            gap = 1 if room > 4 else 0
            draw.rectangle((x1 + gap, base - max(1, height), x2 - gap, base - 1), fill=BAR)
            _centred(draw, f"{count:,}", (x1 + x2) / 2, base - height - 15, 11, room)
    _draw_values(draw, panel.histogram, left, base + 5, room)


def _draw_values(
    draw: ImageDraw.ImageDraw, shown: Histogram, left: int, y: int, room: float
) -> None:
    """Under each bar where it begins, or what it holds; fewer where they would touch."""
    face = font(11)
    labels = [shown.label(bar).partition("-")[0] for bar in range(len(shown.counts))]
    widest = max(map(face.getlength, labels)) + MIN_LABEL_GAP
    step = max(1, math.ceil(widest / room))
    last = len(labels) - 1
    for bar in range(0, len(labels), step):
        if shown.open_end and bar != last and last - bar < step:
            continue  # would touch the one of the open bar, which is never left out
        _draw_value(draw, labels[bar], shown.width == 1, left + bar * room, y, room)
    if shown.open_end and last % step:
        _draw_value(draw, labels[last], False, left + last * room, y, room)


def _draw_value(
    draw: ImageDraw.ImageDraw, label: str, centred: bool, x: float, y: int, room: float
) -> None:
    x, anchor = (x + room / 2, "ma") if centred else (x, "la")
    draw.text((x, y), label, fill=INK, font=font(11), anchor=anchor)


def _centred(
    draw: ImageDraw.ImageDraw, text: str, x: float, y: float, size_px: int, room: float
) -> None:
    """Text over a bar, unless it is wider than the bar."""
    face = font(size_px)
    if face.getlength(text) <= room:
        draw.text((x, y), text, fill=FAINT, font=face, anchor="ma")
