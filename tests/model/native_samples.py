"""Layers and numbers for the products in C, and what they must be."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deepseek_ocr.model.config_parts import SamConfig
from deepseek_ocr.model.native.library import library
from deepseek_ocr.model.sam import SamAttention

found = library()
needs_products = pytest.mark.skipif(
    found is None or not found.has_linear(),
    reason="needs a C compiler and a processor with bfloat16 products (AVX-512)",
)
BF16 = torch.bfloat16


def normal(*shape, scale=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return (torch.randn(*shape, generator=generator) * scale).to(BF16)


def layer(inputs, outputs, bias=True):
    module = nn.Linear(inputs, outputs, bias=bias).to(BF16).requires_grad_(False)
    module.weight.copy_(normal(outputs, inputs, scale=inputs**-0.5))
    if bias:
        module.bias.copy_(normal(outputs))
    return module


def exact(module, x):
    """In float64, of the very same rounded weights."""
    bias = None if module.bias is None else module.bias.double()
    return F.linear(x.double(), module.weight.double(), bias)


def assert_close(got, wanted):
    """As near as bfloat16 is: half a unit of its eighth bit, and a little for the sums."""
    assert got.dtype == BF16 and got.shape == wanted.shape
    torch.testing.assert_close(got.double(), wanted, rtol=2**-8, atol=2**-9)


def sam_attention(window_size, head_width, heads=2):
    config = SamConfig(hidden_size=heads * head_width, num_attention_heads=heads, image_size=16 * 8)
    module = SamAttention(config, window_size).requires_grad_(False)
    for number, parameter in enumerate(module.parameters()):
        parameter.copy_(normal(*parameter.shape, scale=0.3, seed=number).float())
    return module.to(BF16)
