"""Real engines, small enough for tests, and pages that they answer unlike."""

from __future__ import annotations

import torch
from PIL import Image, ImageDraw

from deepseek_ocr.inference.engine import OcrEngine
from deepseek_ocr.model.presets import untrained

SMALL = {"base_size": 128, "tile_size": 64, "max_tiles": 4}


def unlike_rows() -> OcrEngine:
    """Random weights under which rows get unlike answers that end at unlike places."""
    model, processor = untrained("nano-untrained", seed=3)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.05)
        model.lm_head.weight[processor.eos_id] *= 6
    return OcrEngine(model.eval(), processor, **SMALL)


def page(width: int, height: int, seed: int) -> Image.Image:
    picture = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(picture)
    for line in range(0, height, 12):
        draw.text((3, line), f"{seed} line {line * seed} {'x' * (seed % 7)}", fill="black")
    return picture
