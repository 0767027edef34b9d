"""The products of a layer's routed experts, forward and backward, with little kept between.

Letters: D width, H hidden, E experts, k experts a token, T tokens, n = T * k choices, sorted by
expert. Of a layer the backward pass keeps the gate and up projections (n, 2H) and the tokens; what
follows from them is computed again, and weights that do not train have no gradient made for them.

Three ways to the same numbers: on a CUDA device one grouped product a projection, without a
synchronisation; on a CPU, where nothing learns, in C; elsewhere, and for formats that neither
knows, expert by expert, each small enough for the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from .native.linear import experts, takes_experts


def apply_experts(
    x: Tensor, chosen: Tensor, weights: Tensor, gate_up: Tensor, down: Tensor
) -> Tensor:
    """The weighted sum of each token's experts, added in float32.

    Args:
        x: (T, D).
        chosen: (T, k) indices of experts, all unlike in a row.
        weights: (T, k) float32.
        gate_up: (E, 2H, D), the gate projections' rows first.
        down: (E, D, H).

    Returns:
        (T, D) in the format of `x`; products are in the autocast format where that is on.
    """
    device = x.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
    if device == "cuda" and dtype == torch.bfloat16 and hasattr(F, "grouped_mm"):
        return _Experts.apply(x, chosen, weights, gate_up, down, dtype, True)  # type: ignore[no-any-return]
    if dtype == x.dtype and takes_experts(x, gate_up, down) and not weights.requires_grad:
        return apply_natively(x, chosen, weights, gate_up, down)
    return _apply_one_by_one(x, chosen, weights, gate_up, down, dtype)


def apply_natively(
    x: Tensor,
    chosen: Tensor,
    weights: Tensor,
    gate_up: Tensor,
    down: Tensor,
    scales: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """As `apply_experts`, in C; `scales` of weights of 8 bits."""
    order, ends = sort_choices(chosen, len(down))
    share = weights.flatten()[order]
    return experts(x, order // chosen.shape[1], ends, share, gate_up, down, scales)


@torch.compiler.disable  # how many tokens an expert has is not known when it compiles
def _apply_one_by_one(*inputs: Any) -> Tensor:
    return _Experts.apply(*inputs, False)  # type: ignore[no-any-return]


class OneByOne:
    """The choices of one expert: rows `span` of all choices, of the tokens `tokens` (m,)."""

    def __init__(self, expert: int, span: slice, tokens: Tensor):
        self.expert, self.span, self.tokens = expert, span, tokens

    def forward(self, rows: Tensor, stack: Tensor) -> Tensor:
        """(m, in) through the expert's (out, in) -> (m, out)."""
        return torch.mm(rows, stack[self.expert].to(rows.dtype).t())

    def backward(self, gradient: Tensor, stack: Tensor) -> Tensor:
        """(m, out) -> (m, in), the gradient of the rows."""
        return torch.mm(gradient, stack[self.expert].to(gradient.dtype))

    def add_weight_gradient(self, stack: Tensor, gradient: Tensor, rows: Tensor) -> None:
        """Into the expert's (out, in) of `stack`: (m, out), (m, in)."""
        stack[self.expert] = torch.mm(gradient.t(), rows)


class Together:
    """The choices of all experts; `ends` (E,) where each one's end."""

    def __init__(self, tokens: Tensor, ends: Tensor):
        self.span, self.tokens, self.ends = slice(None), tokens, ends

    def forward(self, rows: Tensor, stack: Tensor) -> Tensor:
        """(n, in) through (E, out, in) -> (n, out)."""
        return F.grouped_mm(rows, stack.to(rows.dtype).mT, offs=self.ends)

    def backward(self, gradient: Tensor, stack: Tensor) -> Tensor:
        """(n, out) -> (n, in), the gradient of the rows."""
        return F.grouped_mm(gradient, stack.to(gradient.dtype), offs=self.ends)

    def add_weight_gradient(self, stack: Tensor, gradient: Tensor, rows: Tensor) -> None:
        """Into `stack` (E, out, in): (n, out), (n, in)."""
        found = F.grouped_mm(gradient.t(), rows, offs=self.ends)
        unused = self.ends.diff(prepend=self.ends.new_zeros(1)) == 0
        stack.copy_(found.masked_fill(unused[:, None, None], 0))


class _Experts(torch.autograd.Function):
    """See `apply_experts`; `dtype` of the products, `together` in one grouped product."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        chosen: Tensor,
        weights: Tensor,
        gate_up: Tensor,
        down: Tensor,
        dtype: torch.dtype,
        together: bool,
    ) -> Tensor:
        order, ends = sort_choices(chosen, len(down))
        groups = make_groups(order // chosen.shape[1], ends, together)
        sorted_weights = weights.flatten()[order].unsqueeze(-1)  # (n, 1)
        learns = any(ctx.needs_input_grad)
        kept = x.new_empty(len(order), gate_up.shape[1], dtype=dtype) if learns else None
        out = x.new_zeros(x.shape, dtype=sorted_weights.dtype)
        with torch.autocast(x.device.type, enabled=False):
            for group in groups:
                rows = x.index_select(0, group.tokens).to(dtype)
                projected = group.forward(rows, gate_up)
                if kept is not None:
                    kept[group.span] = projected
                answers = group.forward(gated(projected), down)
                weighted = answers * sorted_weights[group.span]
                out.index_add_(0, group.tokens, weighted)
        if kept is not None:
            ctx.save_for_backward(x, order, ends, sorted_weights, gate_up, down, kept)
            ctx.num_chosen, ctx.together = chosen.shape[1], together
        return out.to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, order, ends, weights, gate_up, down, kept = ctx.saved_tensors
        for_x, _, for_weights, for_gate_up, for_down, *_ = ctx.needs_input_grad
        d_x = x.new_zeros(x.shape, dtype=weights.dtype) if for_x else None
        d_weights = torch.empty_like(weights) if for_weights else None
        d_gate_up = torch.zeros_like(gate_up) if for_gate_up else None
        d_down = torch.zeros_like(down) if for_down else None
        for group in make_groups(order // ctx.num_chosen, ends, ctx.together):
            answer = gradient.index_select(0, group.tokens).to(kept.dtype)  # (m, D)
            weight, projected = weights[group.span], kept[group.span]
            hidden = gated(projected)
            d_hidden = group.backward(answer, down)  # of an expert that weighs 1
            if d_weights is not None:
                d_weights[group.span] = (d_hidden * hidden).sum(-1, True, dtype=weights.dtype)
            if d_down is not None:
                group.add_weight_gradient(d_down, answer, (hidden * weight).to(kept.dtype))
            if d_x is None and d_gate_up is None:
                continue
            d_projected = gated_backward((d_hidden * weight).to(kept.dtype), projected)
            if d_gate_up is not None:
                rows = x.index_select(0, group.tokens).to(kept.dtype)
                group.add_weight_gradient(d_gate_up, d_projected, rows)
            if d_x is not None:
                d_rows = group.backward(d_projected, gate_up)
                d_x.index_add_(0, group.tokens, d_rows.to(d_x.dtype))
        if d_weights is not None:
            places = torch.empty_like(d_weights)
            places[order] = d_weights
            d_weights = places.view(-1, ctx.num_chosen)
        return (
            None if d_x is None else d_x.to(x.dtype),
            None,
            d_weights,
            d_gate_up,
            d_down,
            None,
            None,
        )


def sort_choices(chosen: Tensor, num_experts: int) -> tuple[Tensor, Tensor]:
    """(T, k) experts -> (n,) the choices expert by expert, in order; (E,) where each one's end."""
    experts, order = chosen.flatten().sort(stable=True)
    numbers = torch.arange(num_experts, device=chosen.device)
    return order, torch.searchsorted(experts, numbers, right=True, out_int32=True)


def make_groups(
    tokens: Tensor, ends: Tensor, together: bool
) -> Sequence[OneByOne] | Sequence[Together]:
    """What is multiplied at once: the choices of all experts, or of each that was chosen."""
    if together:
        return [Together(tokens, ends)]
    groups, start = [], 0
    for expert, end in enumerate(ends.tolist()):
        if end > start:
            span = slice(start, end)
            groups.append(OneByOne(expert, span, tokens[span]))
        start = end
    return groups


def gated(projected: Tensor) -> Tensor:
    """(m, 2H) gate and up -> (m, H), silu(gate) * up."""
    gate, up = projected.chunk(2, dim=-1)
    return F.silu(gate) * up


def gated_backward(gradient: Tensor, projected: Tensor) -> Tensor:
    """(m, H) gradient of `gated`'s answer -> (m, 2H), that of its input."""
    gate, up = projected.chunk(2, dim=-1)
    d_gate = torch.ops.aten.silu_backward(gradient * up, gate)
    return torch.cat([d_gate, gradient * F.silu(gate)], dim=-1)
