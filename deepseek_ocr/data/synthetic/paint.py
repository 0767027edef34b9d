"""From a layout to pixels: ink on paper, then what a scanner makes of it."""

from __future__ import annotations

import random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .layout import Colour, Layout

PAPERS: tuple[Colour, ...] = (
    (255, 255, 255),
    (255, 255, 255),
    (250, 250, 248),
    (246, 243, 233),
    (238, 240, 244),
    (236, 230, 215),
    (236, 236, 236),
)


def paint(layout: Layout, paper: Colour = (255, 255, 255)) -> Image.Image:
    """The page as an RGB picture, clean."""
    image = Image.new("RGB", (layout.width, layout.height), paper)
    draw = ImageDraw.Draw(image)
    for stroke in layout.strokes:
        x1, y1, x2, y2 = stroke.box
        draw.rectangle((x1, y1, x2 - 1, y2 - 1), fill=stroke.ink)  # Pillow's include the last pixel
    for line in layout.lines:
        for run in line.runs:
            font = run.type.face.at(run.type.size_px)
            parts = run.pens() if run.type.spacing_px else [(run.text, run.x)]
            for text, x in parts:
                draw.text((x, run.y), text, fill=run.type.ink, font=font, anchor="ls")
    return image


def scan(image: Image.Image, rng: random.Random) -> Image.Image:
    """The picture as from a scanner or camera: a little blur, uneven light, noise, often grey.

    Nothing moves, so that boxes stay true.
    """
    if rng.random() < 0.35:
        return image  # born digital
    if rng.random() < 0.5:
        image = image.convert("L")
    if rng.random() < 0.5:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.6)))
    pixels = np.asarray(image, dtype=np.float32)
    height, width = pixels.shape[:2]
    light = _light(width, height, rng) + _grain(width, height, rng)
    pixels = pixels + (light if pixels.ndim == 2 else light[:, :, None])
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _light(width: int, height: int, rng: random.Random) -> np.ndarray:
    """(height, width) grey levels to add: a lamp that is stronger on one side."""
    across, down, level = (rng.uniform(-9, 6) for _ in range(3))
    x = np.linspace(0, across, width, dtype=np.float32)
    y = np.linspace(0, down, height, dtype=np.float32)
    return y[:, None] + x[None, :] + np.float32(min(0.0, level))


def _grain(width: int, height: int, rng: random.Random) -> np.ndarray:
    """(height, width) grey levels to add: the sensor's noise."""
    strength = rng.uniform(0.5, 5.0)
    generator = np.random.default_rng(rng.getrandbits(64))
    grain = generator.standard_normal((height, width), dtype=np.float32)
    return grain * np.float32(strength)
