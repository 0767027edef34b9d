"""SAM's attention with decomposed positions, without the (n, m) bias in memory.

Letters: W windows, H heads, n queries, m = rows * columns keys, d width of a head. The score of
query i and key (r, c) is q_i . k_(r, c) * scale + by_row[i, r] + by_column[i, c].

Two ways to the same numbers. On a CPU, blocks of queries one after the other, each small enough
for the cache, forward and backward: three times as fast there as the fused kernel, which would
need queries, keys and values as wide as d + rows + columns. Elsewhere that kernel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK = 2**20
"""Scores of a block: 4 MB in float32; half of it or twice as many took a tenth longer."""


def attend_with_positions(
    q: Tensor, k: Tensor, v: Tensor, by_row: Tensor, by_column: Tensor
) -> Tensor:
    """Scaled by d ** -0.5, not masked.

    Args:
        q: (W, H, n, d).
        k, v: (W, H, m, d).
        by_row, by_column: (W, H, n, rows) and (W, H, n, columns), added to the scores.

    Returns:
        (W, H, n, d).
    """
    if q.device.type == "cpu":
        return _attend_in_blocks(q, k, v, by_row, by_column)
    return attend_fused(q, k, v, by_row, by_column)


def attend_fused(q: Tensor, k: Tensor, v: Tensor, by_row: Tensor, by_column: Tensor) -> Tensor:
    """As wider queries times wider keys, one-hot in their row and column: one fused kernel."""
    width, scale = q.shape[-1], q.shape[-1] ** -0.5
    q = torch.cat([q, by_row / scale, by_column / scale], dim=-1)
    k = torch.cat([k, one_hot_places(by_row.shape[-1], by_column.shape[-1], k)], dim=-1)
    v = F.pad(v, (0, q.shape[-1] - width))  # fused kernels want equal widths
    return F.scaled_dot_product_attention(q, k, v, scale=scale)[..., :width]


def one_hot_places(rows: int, columns: int, k: Tensor) -> Tensor:
    """(W, H, m, rows + columns), 1 at the row and at the column of each key of `k`."""
    row = torch.eye(rows, dtype=k.dtype, device=k.device)[:, None].expand(-1, columns, -1)
    column = torch.eye(columns, dtype=k.dtype, device=k.device).expand(rows, -1, -1)
    return torch.cat([row, column], dim=-1).flatten(0, 1).expand(*k.shape[:2], -1, -1)


@torch.compiler.disable  # unrolled it would be hundreds of blocks
def _attend_in_blocks(*inputs: Tensor) -> Tensor:
    return _Blocks.apply(*inputs)  # type: ignore[no-any-return]


class _Blocks(torch.autograd.Function):
    """Block by block; the backward pass computes a block's weights again and keeps none."""

    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> Tensor:
        ctx.save_for_backward(*inputs)
        q, k, v = inputs[:3]
        out = torch.empty(q.shape, dtype=v.dtype)
        flat = [part.flatten(0, 1) for part in inputs]
        room = Room(k.shape[2], v.dtype)
        with torch.autocast("cpu", enabled=False):
            for heads, queries in blocks(len(flat[0]), q.shape[2], k.shape[2]):
                weights = block_weights(flat, heads, queries, room)
                answers = product(room.rounded(weights), flat[2][heads])
                out.flatten(0, 1)[heads, queries] = answers
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        inputs = ctx.saved_tensors  # once: a recomputed layer gives them once
        flat = [part.flatten(0, 1) for part in inputs]
        q, k, v, by_row, by_column = flat
        gradient = gradient.flatten(0, 1)
        scale, places = q.shape[-1] ** -0.5, (by_row.shape[-1], by_column.shape[-1])
        d_q, d_row, d_column = (torch.empty_like(part) for part in (q, by_row, by_column))
        # keys and values are answered by several blocks: added in float32
        d_k, d_v = (torch.zeros(x.shape, dtype=score_dtype(x.dtype)) for x in (k, v))
        room = Room(k.shape[1], v.dtype)
        for heads, queries in blocks(len(q), q.shape[1], k.shape[1]):
            weights = block_weights(flat, heads, queries, room)
            answer = gradient[heads, queries]
            d_v[heads] += product(room.rounded(weights).mT, answer)
            d_weights = product(answer, v[heads].mT).to(weights.dtype)
            d_scores = torch._softmax_backward_data(d_weights, weights, -1, weights.dtype)
            by_place = d_scores.unflatten(-1, places)
            d_row[heads, queries] = by_place.sum(-1).to(d_row.dtype)
            d_column[heads, queries] = by_place.sum(-2).to(d_column.dtype)
            d_products = (d_scores * scale).to(q.dtype)
            d_q[heads, queries] = product(d_products, k[heads])
            d_k[heads] += product(d_products.mT, q[heads, queries])
        found = (d_q, d_k.to(k.dtype), d_v.to(v.dtype), d_row, d_column)
        return tuple(part.view_as(like) for part, like in zip(found, inputs, strict=True))


def blocks(num_heads: int, num_queries: int, num_keys: int) -> Iterator[tuple[slice, slice]]:
    """Slices of heads (of all windows) and of queries, of about `BLOCK` scores each.

    All the queries of several heads, or some of the queries of one.
    """
    heads = max(BLOCK // (num_queries * num_keys), 1)
    queries = max(BLOCK // num_keys, 1) if heads == 1 else num_queries
    if heads == 1 and queries > 64:
        queries -= queries % 64  # odd numbers of rows slow the products
    for head in range(0, num_heads, heads):
        for query in range(0, num_queries, queries):
            yield slice(head, head + heads), slice(query, query + queries)


class Room:
    """Memory for the scores of a block, used again and again: new memory costs as much as a sum."""

    def __init__(self, num_keys: int, dtype: torch.dtype):
        """`dtype` of the products; the scores are in float32 at least."""
        size = max(BLOCK, num_keys)  # a block holds at least one query
        self._products = torch.empty(size, dtype=dtype)
        exact = score_dtype(dtype)
        self._scores = torch.empty(size, dtype=exact) if exact != dtype else self._products.clone()

    def scores(self, *shape: int) -> Tensor:
        """A block's scores, not yet set."""
        return self._scores[: math.prod(shape)].view(shape)

    def products(self, *shape: int) -> Tensor:
        """A block's products of queries and keys, not yet set."""
        return self._products[: math.prod(shape)].view(shape)

    def rounded(self, weights: Tensor) -> Tensor:
        """Weights in the format of the products, in their place."""
        if weights.dtype == self._products.dtype:
            return weights
        return self.products(*weights.shape).copy_(weights)


def block_weights(inputs: list[Tensor], heads: slice, queries: slice, room: Room) -> Tensor:
    """(heads, queries, m) softmax of a block's scores, in float32 at least; lies in `room`."""
    q, k, _, by_row, by_column = inputs
    by_row, by_column = by_row[heads, queries], by_column[heads, queries]
    q, k = q[heads, queries] * q.shape[-1] ** -0.5, k[heads].mT
    shape = (*by_row.shape, by_column.shape[-1])
    scores, products = room.scores(*shape), room.products(*q.shape[:2], k.shape[-1])
    exact = scores.dtype  # the sum of both would be rounded otherwise
    torch.add(by_row.to(exact).unsqueeze(-1), by_column.to(exact).unsqueeze(-2), out=scores)
    scores = scores.flatten(-2)
    scores += product(q, k, out=products)
    return torch.softmax(scores, -1, out=scores)


def product(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """`torch.bmm`, which copies transposed matrices of a single pair before it multiplies."""
    if len(a) > 1:
        return torch.bmm(a, b, out=out)
    return torch.mm(a[0], b[0], out=None if out is None else out[0])[None]


def score_dtype(dtype: torch.dtype) -> torch.dtype:
    """float32, or float64 of that."""
    return torch.promote_types(dtype, torch.float32)
