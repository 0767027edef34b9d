"""A very small model, and drawn pages with their annotations, for the tests of training."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from PIL import Image, ImageDraw

from deepseek_ocr.data.annotations import Annotation, read_annotations
from deepseek_ocr.model import (
    DeepseekOcrConfig,
    DeepseekOcrForConditionalGeneration,
    DeepseekOcrImageProcessor,
    DeepseekOcrProcessor,
)
from deepseek_ocr.model.presets import NANO_FOLDER

PROMPT = "<image>\nConvert to markdown"
TEXTS = ["Total 9.50", "A", "Invoice 17 of 3 May", "tea 2.00\nmilk 1.20", "thank you", "No. 4", "b"]


def small_config(**text: object) -> DeepseekOcrConfig:
    """Every kind of layer of the network, as small as it goes."""
    return DeepseekOcrConfig(
        sam_config={
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "global_attn_indexes": [1],
            "image_size": 128,
            "window_size": 3,
            "out_channels": 8,
            "downsample_channels": [12, 16],
        },
        clip_config={
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 32,
            "patch_size": 16,
        },
        text_config={
            "vocab_size": 1024,
            "hidden_size": 32,
            "intermediate_size": 48,
            "moe_intermediate_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "n_routed_experts": 4,
            "n_shared_experts": 1,
            "num_experts_per_tok": 2,
            "max_position_embeddings": 256,
            **text,
        },
        image_token_id=18,
    )


def small_model(seed: int = 0, **text: object) -> DeepseekOcrForConditionalGeneration:
    """Random weights, large enough for gradients that can be told from rounding."""
    torch.manual_seed(seed)
    model = DeepseekOcrForConditionalGeneration(small_config(**text))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.15)
    return model.train()


def small_processor() -> DeepseekOcrProcessor:
    """nano's tokenizer; overviews of 128 pixels, tiles of 64 where a side is longer than that."""
    tokenizer = DeepseekOcrProcessor.from_pretrained(NANO_FOLDER).tokenizer
    views = DeepseekOcrImageProcessor(mode="tiny", base_size=128, tile_size=64, max_tiles=4)
    return DeepseekOcrProcessor(views, tokenizer)


def save_small_model(folder: Path, **text: object) -> Path:
    """A model folder as `--model_path` takes it."""
    small_model(**text).save_pretrained(folder)
    small_processor().save_pretrained(folder)
    return folder


def draw_pages(folder: Path, count: int = 4) -> list[str]:
    """Pages of unlike sizes, some with tiles and some without; their names."""
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for number in range(count):
        page = Image.new("RGB", [(60, 50), (160, 90), (64, 64), (70, 150)][number % 4], "white")
        ImageDraw.Draw(page).text((4, 4 + number), f"{number}{number}", fill="black")
        page.save(folder / f"{number}.png")
        names.append(f"{number}.png")
    return names


def write_rows(path: Path, rows: list[dict]) -> Path:
    """An annotation file with these rows."""
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def make_rows(folder: Path, count: int = 6, **changes: object) -> list[dict]:
    """`count` rows, one page each, whose pages lie in `folder`."""
    names = draw_pages(folder, count)
    return [
        {
            "id": f"page-{i}",
            "images": [name],
            "prompt": PROMPT,
            "text": TEXTS[i % len(TEXTS)],
            "source": f"labels.json:{i + 1}",
            **changes,
        }
        for i, name in enumerate(names)
    ]


def mixed_rows(folder: Path) -> list[Annotation]:
    """Rows with one picture, none, and several."""
    a, b, c, d = draw_pages(folder, 4)
    pictures = [[a], [], [b, c], [d], [], [b]]
    rows = [
        {"id": str(i), "images": images, "prompt": "<image>" * len(images) + "\nRead", "text": text}
        for i, (images, text) in enumerate(zip(pictures, TEXTS, strict=False))
    ]
    return read_annotations(write_rows(folder / "rows.json", rows), folder)
