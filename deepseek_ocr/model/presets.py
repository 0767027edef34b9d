"""Models by name: `nano-untrained` and `base-untrained` are made here, with random weights."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer

from .configuration import DeepseekOcrConfig
from .image_processing import DeepseekOcrImageProcessor
from .modeling import DeepseekOcrForConditionalGeneration
from .processing import DeepseekOcrProcessor, make_tokenizer

NANO_FOLDER = Path(__file__).resolve().parent.parent / "presets" / "nano"
UNTRAINED = ("nano-untrained", "base-untrained")
PRESETS = ("nano", *UNTRAINED)

FIRST_MOVED_ID, PUBLISHED_FIRST_ID = 3, 128800
"""The special tokens after BOS, EOS and PAD stand at 3 ... in nano, at 128800 ... as published."""


def nano_config(image_token_id: int = 18) -> DeepseekOcrConfig:
    """The published architecture at about seven million parameters."""
    return DeepseekOcrConfig(
        sam_config={
            "hidden_size": 128,
            "num_hidden_layers": 6,
            "num_attention_heads": 4,
            "global_attn_indexes": [2, 5],
            "image_size": 512,
            "out_channels": 96,
            "downsample_channels": [128, 192],
        },
        clip_config={
            "hidden_size": 192,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": 128,
            "patch_size": 16,
        },
        text_config={
            "vocab_size": 286,
            "hidden_size": 256,
            "intermediate_size": 768,
            "moe_intermediate_size": 112,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "n_routed_experts": 8,
            "num_experts_per_tok": 2,
            "max_position_embeddings": 4096,
        },
        image_token_id=image_token_id,
    )


def untrained(
    name: str, *, dtype: torch.dtype = torch.float32, seed: int = 42
) -> tuple[DeepseekOcrForConditionalGeneration, DeepseekOcrProcessor]:
    """A model with random weights and its processor; the same seed gives the same weights.

    `nano-untrained` has the sizes of the shipped small model, `base-untrained` the published ones
    (6.7 GB in bfloat16; for speed and memory work) with nano's small tokenizer, its special
    tokens at their published ids.
    """
    if name == "nano-untrained":
        processor = DeepseekOcrProcessor.from_pretrained(NANO_FOLDER)
        config = DeepseekOcrConfig.from_pretrained(NANO_FOLDER)
    elif name == "base-untrained":
        processor, config = published_processor(), DeepseekOcrConfig()
    else:
        raise ValueError(f"unknown preset {name!r}; made here: {', '.join(UNTRAINED)}")
    torch.manual_seed(seed)
    previous = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        model = DeepseekOcrForConditionalGeneration(config)
    finally:
        torch.set_default_dtype(previous)
    model.config.dtype = dtype
    return model.eval(), processor


def published_processor() -> DeepseekOcrProcessor:
    """Published views, and nano's tokenizer with the special tokens at their published ids."""
    content = json.loads((NANO_FOLDER / "tokenizer.json").read_text(encoding="utf-8"))

    def moved(index: int) -> int:
        special = FIRST_MOVED_ID <= index < len(content["added_tokens"])
        return index - FIRST_MOVED_ID + PUBLISHED_FIRST_ID if special else index

    vocabulary = content["model"]["vocab"]
    content["model"]["vocab"] = {token: moved(index) for token, index in vocabulary.items()}
    for token in content["added_tokens"]:
        token["id"] = moved(token["id"])
    return DeepseekOcrProcessor(
        DeepseekOcrImageProcessor(mode="gundam"),
        make_tokenizer(Tokenizer.from_str(json.dumps(content))),
    )
