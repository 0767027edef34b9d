"""SAM's windows: only what is answered is computed, and it is what padding the view gives."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.model.config_parts import SamConfig
from deepseek_ocr.model.sam import SamAttention, relative_table

HEADS, HEAD_DIM = 2, 3
WIDTH = HEADS * HEAD_DIM


def attention(window_size, seed=0):
    torch.manual_seed(seed)
    config = SamConfig(hidden_size=WIDTH, num_attention_heads=HEADS, image_size=64)
    module = SamAttention(config, window_size).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    return module


def padded_windows(module, x):
    """As released: pad the view, attend over every position of every window, cut the padding."""
    size = module.window_size
    height, width = x.shape[1:3]
    x = F.pad(x, (0, 0, 0, -width % size, 0, -height % size))
    answers = torch.empty_like(x)
    for top in range(0, x.shape[1], size):
        for left in range(0, x.shape[2], size):
            place = (slice(None), slice(top, top + size), slice(left, left + size))
            answers[place] = module.proj(whole_window(module, x[place]))
    return answers[:, :height, :width]


def whole_window(module, x):
    """(B, s, s, C) -> the same: scores with the decomposed positions added to them."""
    size = x.shape[1]
    q, k, v = module.qkv(x).view(len(x), size * size, 3, HEADS, HEAD_DIM).permute(2, 0, 3, 1, 4)
    scores = q @ k.mT * HEAD_DIM**-0.5
    by_row = torch.einsum(
        "bnhwc,hkc->bnhwk", q.unflatten(2, (size, size)), relative_table(module.rel_pos_h, size)
    )
    by_column = torch.einsum(
        "bnhwc,wkc->bnhwk", q.unflatten(2, (size, size)), relative_table(module.rel_pos_w, size)
    )
    bias = (by_row.unsqueeze(-1) + by_column.unsqueeze(-2)).flatten(4, 5).flatten(2, 3)
    out = (scores + bias).softmax(-1) @ v
    return out.transpose(1, 2).reshape(x.shape)


@given(
    height=st.integers(1, 8),
    width=st.integers(1, 8),
    size=st.integers(2, 4),
    batch=st.integers(1, 2),
)
def test_windows_give_what_the_padded_view_gives(height, width, size, batch):
    module = attention(size)
    x = torch.randn(batch, height, width, WIDTH, dtype=torch.float64)
    torch.testing.assert_close(module(x), padded_windows(module, x))


@pytest.mark.parametrize("sides", [(2, 3), (3, 3), (7, 5)])
def test_windows_give_the_gradients_of_the_padded_view(sides):
    module = attention(3)
    x = torch.randn(1, *sides, WIDTH, dtype=torch.float64, requires_grad=True)
    inputs = (x, *module.parameters())
    ours, padded = (
        torch.autograd.grad(answer.square().sum(), inputs)
        for answer in (module(x), padded_windows(module, x))
    )
    for one, other in zip(ours, padded, strict=True):
        torch.testing.assert_close(one, other)


def test_without_windows_every_position_looks_at_the_whole_view():
    module = attention(0)
    x = torch.randn(2, 4, 4, WIDTH, dtype=torch.float64)
    torch.testing.assert_close(module(x), module.proj(whole_window(module, x)))
