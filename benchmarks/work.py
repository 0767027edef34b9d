"""How much work reading is: operations of the products, bytes of the weights that a token needs.

What a machine needs for it at least is these over its own rates, which are measured here as well.
"""

from __future__ import annotations

import time
from typing import Any

import torch

from deepseek_ocr.model import DeepseekOcrConfig

READ_BYTES, MATRIX_SIDE = 2**29, 4096


def view_flops(config: DeepseekOcrConfig, side: int) -> float:
    """Products of encoding a view of `side` pixels, two operations a multiplication and addition.

    SAM, the compressor, CLIP and the projector; windows are counted with their padding.
    """
    sam, clip, text = config.sam_config, config.clip_config, config.text_config
    grid = side // 16
    patches, tokens = grid**2, (grid // 4) ** 2
    padded = (-(-grid // sam.window_size) * sam.window_size) ** 2
    width, overall = sam.hidden_size, len(sam.global_attn_indexes)
    windowed = sam.num_hidden_layers - overall
    attention = overall * patches * (8 * width**2 + 4 * patches * width)
    attention += windowed * padded * (8 * width**2 + 4 * sam.window_size**2 * width)
    mlp = sam.num_hidden_layers * patches * 4 * sam.mlp_ratio * width**2
    first, second = sam.downsample_channels
    out = sam.out_channels
    convolutions = patches * 2 * (3 * 16**2 * width + width * out + 9 * out**2)
    convolutions += patches / 4 * 2 * 9 * out * first + tokens * 2 * 9 * first * second
    each = clip.num_hidden_layers * (
        (8 + 4 * clip.mlp_ratio) * clip.hidden_size**2 + 4 * tokens * clip.hidden_size
    )
    features = clip.hidden_size + second
    return attention + mlp + convolutions + tokens * (each + 2 * features * text.hidden_size)


def layer_weights(config: DeepseekOcrConfig, experts: float) -> float:
    """Weights of the decoder's layers that are used, `experts` of each layer's routed ones."""
    text = config.text_config
    width = text.hidden_size
    heads = text.num_attention_heads + text.num_key_value_heads
    dense = text.first_k_dense_replace
    chosen = experts + (text.n_shared_experts or 0)
    found = text.num_hidden_layers * 2 * heads * text.qk_head_dim * width
    found += dense * 3 * width * text.intermediate_size
    sparse = text.num_hidden_layers - dense
    return found + sparse * (
        3 * width * text.moe_intermediate_size * chosen + text.n_routed_experts * width
    )


def prefill_flops(config: DeepseekOcrConfig, positions: int) -> float:
    """Products of a prompt, causal attention, one row of logits."""
    text = config.text_config
    weights = layer_weights(config, text.num_experts_per_tok)
    attention = text.num_hidden_layers * 2 * positions * text.hidden_size
    return positions * (2 * weights + attention) + 2 * text.hidden_size * text.vocab_size


def step_bytes(config: DeepseekOcrConfig, rows: int, positions: int, weight_bytes: float) -> float:
    """What a step of `rows` tokens reads: weights once, and what each row remembers in bfloat16.

    Of the routed experts those that `rows` even and independent choices meet.
    """
    text = config.text_config
    missed = (1 - text.num_experts_per_tok / text.n_routed_experts) ** rows
    weights = layer_weights(config, text.n_routed_experts * (1 - missed))
    weights += text.hidden_size * text.vocab_size
    remembered = text.num_hidden_layers * 2 * text.num_key_value_heads * text.qk_head_dim
    return weights * weight_bytes + rows * positions * remembered * 2


def matrix_rate(device: str, repeats: int = 5) -> float:
    """Operations a second of a large bfloat16 product, the best of some."""
    a = torch.randn(MATRIX_SIDE, MATRIX_SIDE, dtype=torch.bfloat16, device=device)
    return 2 * MATRIX_SIDE**3 / best_seconds(lambda: a @ a, device, repeats)


def read_rate(device: str, repeats: int = 5) -> float:
    """Bytes a second that a sum over a large tensor reads, the best of some."""
    a = torch.ones(READ_BYTES // 4, device=device)
    return READ_BYTES / best_seconds(a.sum, device, repeats)


def best_seconds(act: Any, device: str, repeats: int) -> float:
    """The least of several times, after one that is not counted."""
    found = []
    for _ in range(repeats + 1):
        start = now(device)
        act()
        found.append(now(device) - start)
    return min(found[1:])


def now(device: str) -> float:
    """Seconds, once the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()
