"""Attention with decomposed positions: block by block, fused, and with its bias written out."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.model import position_attention
from deepseek_ocr.model.position_attention import attend_fused, attend_with_positions, blocks


def inputs(windows=2, heads=3, sides=(3, 4), queries=5, width=4, seed=0):
    torch.manual_seed(seed)
    rows, columns = sides
    sizes = [(queries, width), (rows * columns, width), (rows * columns, width)]
    sizes += [(queries, rows), (queries, columns)]
    return [
        torch.randn(windows, heads, *size, dtype=torch.float64, requires_grad=True)
        for size in sizes
    ]


def written_out(q, k, v, by_row, by_column):
    bias = (by_row.unsqueeze(-1) + by_column.unsqueeze(-2)).flatten(-2)
    return (q @ k.mT * q.shape[-1] ** -0.5 + bias).softmax(-1) @ v


@pytest.mark.parametrize("block", [1, 24, 60, 150, 2**19])  # part of a head ... all windows
@pytest.mark.parametrize("attend", [attend_with_positions, attend_fused])
def test_answers_and_gradients_are_those_of_the_bias_written_out(attend, block, monkeypatch):
    monkeypatch.setattr(position_attention, "BLOCK", block)
    parts = inputs()
    found, expected = attend(*parts), written_out(*parts)
    torch.testing.assert_close(found, expected)
    ours, theirs = (torch.autograd.grad(x.square().sum(), parts) for x in (found, expected))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


def test_bfloat16_adds_its_scores_in_float32():
    exact = inputs(queries=64, sides=(8, 8), width=32)
    parts = [(3 * part).bfloat16() for part in exact]
    expected = written_out(*(part.double() for part in parts))
    plain = (written_out(*parts) - expected).square().mean().sqrt()
    found = (attend_with_positions(*parts) - expected).square().mean().sqrt()
    assert found < 0.8 * plain


@given(
    heads=st.integers(1, 30), queries=st.integers(1, 50), keys=st.integers(1, 60),
    limit=st.integers(1, 5000),
)  # fmt: skip
def test_every_query_of_every_head_is_in_one_block(heads, queries, keys, limit):
    seen = torch.zeros(heads, queries, dtype=torch.long)
    before, position_attention.BLOCK = position_attention.BLOCK, limit
    try:
        for block in blocks(heads, queries, keys):
            seen[block] += 1
            assert seen[block].numel() * keys <= max(limit, keys)
    finally:
        position_attention.BLOCK = before
    assert (seen == 1).all()


def test_nothing_of_the_size_of_the_bias_is_kept_for_the_backward_pass():
    parts = inputs(windows=1, heads=2, sides=(16, 16), queries=256)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.append(tensor.numel()) or tensor, lambda tensor: tensor
    ):
        attend_with_positions(*parts)
    assert max(kept) <= 2 * 256 * 16


def test_no_gradient_is_asked_for_where_nothing_trains():
    parts = [part.detach() for part in inputs()]
    assert not attend_with_positions(*parts).requires_grad
