"""Bring the image tokens to the size of the decoder's own embeddings, once, after stage 1.

    python recipes/nano/scale_features.py runs/nano/1-glyphs/last runs/nano/1-scaled

In stage 1 only heads with a norm of their own look at the image tokens, so nothing holds their
size: they end with a norm of about 100 to 700 beside embeddings of 1 or less, and a decoder learns
little from them. The projector is divided by the norm measured on drawn pages; what the tokens
tell stays.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import torch
from torch import Tensor

from deepseek_ocr.data.synthetic.stream import PageStream
from deepseek_ocr.model.loading import load_model

PAGES = PageStream(seed=0, num_pages=32, kinds=("words",), size=128, characters=(30, 30))


def main() -> None:
    """Copy the model folder, scaled, whole or not at all; the optimizer's state stays behind."""
    source, target = (Path(argument).resolve() for argument in sys.argv[1:])
    begun = target.with_name(f"{target.name}.tmp")
    shutil.rmtree(begun, ignore_errors=True)
    shutil.copytree(source, begun, ignore=shutil.ignore_patterns("optimizer.safetensors"))
    model, processor = load_model(str(source), dtype="float32")
    norm = image_tokens(model, processor).norm(dim=-1).mean()
    with torch.no_grad():
        for parameter in model.model.projector.parameters():
            parameter /= norm
    model.save_pretrained(begun)
    begun.rename(target)


@torch.no_grad()
def image_tokens(model, processor) -> Tensor:
    """Those of all drawn pages, (n, D), without newlines and separators."""
    pictures = [PAGES.page(number).image for number in range(len(PAGES))]
    views = processor.image_processor(pictures, mode="base", base_size=PAGES.size)
    return model.model.encode_views(views["pixel_values"]).flatten(0, 2)


if __name__ == "__main__":
    main()
