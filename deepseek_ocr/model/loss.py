"""Cross entropy at the learned positions alone, some at a time: no (B * N, V) tensor, ever.

A vocabulary of 129,280 words makes half a megabyte of float32 logits a position. So only positions
whose next token is learned go through the head, and of those so many together as `CHUNK_ELEMENTS`
allows. A plain head takes `_ChunkedHeadLoss`, whose forward pass makes each chunk's gradients while
it has its logits: no logits are kept and none computed twice. Any other head (with an adapter,
quantised, sharded by itself, hooked) is called as the module it is and computed again, chunk by
chunk, in the backward pass.

Letters: B rows, N positions, D width, V vocabulary, L learned positions of the batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from .labels import IGNORE

CHUNK_ELEMENTS = 2**25
"""Most logits at a time: 128 MiB in float32, 256 positions of the published vocabulary."""

BLOCK = 2**14
"""Rows of the head whose gradients are added at a time, in float32."""


@dataclass(frozen=True)
class Learned:
    """The positions that predict a learned token, row by row, left to right; all of length L.

    `places` in the batch's B * N positions, `targets` the ids to predict, `weights` float32.
    """

    places: Tensor
    targets: Tensor
    weights: Tensor


def learned_positions(
    labels: Tensor, label_weights: Tensor | None = None, segment_ids: Tensor | None = None
) -> Learned:
    """Of (B, N) labels and their weights, not shifted; None weighs each 1.

    A position predicts the next one's label, but not from one segment into the next.

    Raises:
        ValueError: weights or segments have another shape than the labels.
    """
    for name, given in (("label_weights", label_weights), ("segment_ids", segment_ids)):
        if given is not None and given.shape != labels.shape:
            raise ValueError(
                f"{name} of shape {tuple(given.shape)} do not fit labels of {tuple(labels.shape)}; "
                f"each position needs one"
            )
    learned = labels[:, 1:] != IGNORE
    if segment_ids is not None:
        learned = learned & (segment_ids[:, 1:] == segment_ids[:, :-1])
    rows, columns = learned.nonzero(as_tuple=True)
    targets = labels[rows, columns + 1]
    if label_weights is None:
        weights = torch.ones(len(targets), device=labels.device)
    else:
        weights = label_weights[rows, columns + 1].float()
    return Learned(rows * labels.shape[1] + columns, targets, weights)


def summed_head_loss(
    hidden: Tensor,
    head: nn.Module,
    targets: Tensor,
    weights: Tensor,
    *,
    label_smoothing: float = 0.0,
    chunk: int | None = None,
) -> Tensor:
    """(L, D) states, (L,) ids and weights -> the weighted sum of their cross entropies, float32.

    What `F.cross_entropy(head(hidden), targets, label_smoothing=...)` gives a position, with the
    softmax in float32. Without positions it is 0, and still depends on the head and the states.

    Args:
        chunk: positions at a time; default: as many as `CHUNK_ELEMENTS` logits allow.
    """
    if is_plain(head):
        chunk = chunk or chunk_size(len(head.weight))  # type: ignore[arg-type]
        return _ChunkedHeadLoss.apply(
            hidden, head.weight, targets, weights, label_smoothing, chunk, torch.is_grad_enabled()
        )
    chunk = chunk or chunk_size(vocabulary(head))
    total = hidden.new_zeros((), dtype=at_least_float32(hidden.dtype))
    for start in range(0, max(len(hidden), 1), chunk):
        part = slice(start, start + chunk)
        total = total + checkpoint(
            _loss_of_module,
            head,
            hidden[part],
            targets[part],
            weights[part],
            label_smoothing,
            use_reentrant=False,
        )
    return total


def chunk_size(num_words: int) -> int:
    """Positions at a time, a multiple of 64 where there are so many: 259 take longer than 320."""
    positions = CHUNK_ELEMENTS // num_words
    return positions - positions % 64 if positions > 64 else max(positions, 1)


def is_plain(head: nn.Module) -> bool:
    """Whether calling `head` is a product with its weight and nothing else."""
    return (
        type(head) is nn.Linear
        and head.bias is None
        and type(head.weight) in (Tensor, nn.Parameter)  # not one sharded or quantised
        and "forward" not in vars(head)  # replaced, as accelerate does to place it on devices
        and not any(
            getattr(head, hooks)
            for hooks in (
                "_forward_hooks",
                "_forward_pre_hooks",
                "_backward_hooks",
                "_backward_pre_hooks",
            )
        )
    )


def vocabulary(head: nn.Module) -> int:
    """V, of a head that wraps a linear layer too; 129,280 where it does not say."""
    return int(getattr(head, "out_features", 129280))


def at_least_float32(dtype: torch.dtype) -> torch.dtype:
    """What the softmax is computed in."""
    return torch.promote_types(dtype, torch.float32)


def _loss_of_module(
    head: nn.Module, hidden: Tensor, targets: Tensor, weights: Tensor, label_smoothing: float
) -> Tensor:
    logits = head(hidden)
    losses = F.cross_entropy(
        logits.to(at_least_float32(logits.dtype)),
        targets,
        reduction="none",
        label_smoothing=label_smoothing,
    )
    return (losses * weights).sum()


class _ChunkedHeadLoss(torch.autograd.Function):
    """The sum over L positions, and its gradients to states and head made on the way.

    They are those of the sum as it is; what it is divided by or scaled with comes in `backward`, so
    that a loss scale of float16 acts as it does elsewhere.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        head: Tensor,
        targets: Tensor,
        weights: Tensor,
        label_smoothing: float,
        chunk: int,
        learns: bool,
    ) -> Tensor:
        device = hidden.device.type
        autocast = torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if autocast else hidden.dtype
        for_hidden = learns and ctx.needs_input_grad[0]
        for_head = learns and ctx.needs_input_grad[1]
        with torch.autocast(device, enabled=False):
            states, matrix = hidden.to(dtype), head.to(dtype)
            losses = weights.new_empty(len(states), dtype=at_least_float32(dtype))
            of_hidden = torch.empty_like(states) if for_hidden else None
            of_head = torch.zeros_like(head, dtype=losses.dtype) if for_head else None
            for start in range(0, len(states), chunk):
                part = slice(start, start + chunk)
                logits = states[part] @ matrix.T  # (chunk, V)
                log_p = F.log_softmax(logits, dim=-1, dtype=losses.dtype)
                del logits
                losses[part] = _cross_entropy(log_p, targets[part], label_smoothing)
                if of_hidden is None and of_head is None:
                    continue
                slope = _slope(log_p, targets[part], weights[part], label_smoothing).to(dtype)
                del log_p
                if of_hidden is not None:
                    torch.mm(slope, matrix, out=of_hidden[part])
                if of_head is not None:
                    blocks = zip(of_head.split(BLOCK), slope.T.split(BLOCK), strict=True)
                    for (
                        block,
                        rows,
                    ) in blocks:  # small ones: a whole product would be the head's size
                        block += rows @ states[part]
        ctx.save_for_backward(of_hidden, of_head)
        ctx.dtypes = hidden.dtype, head.dtype
        return (losses * weights).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        def scaled(gradient: Tensor | None, dtype: torch.dtype) -> Tensor | None:
            if gradient is None:
                return None
            return torch.mul(gradient, scale, out=torch.empty_like(gradient, dtype=dtype))

        of_hidden, of_head = ctx.saved_tensors
        hidden_dtype, head_dtype = ctx.dtypes
        return (
            scaled(of_hidden, hidden_dtype),
            scaled(of_head, head_dtype),
            None,
            None,
            None,
            None,
            None,
        )


def _cross_entropy(log_p: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
    """(n, V) log probabilities and (n,) ids -> (n,)."""
    losses = -log_p.gather(-1, targets[:, None]).squeeze(-1)
    if label_smoothing:
        losses = (1 - label_smoothing) * losses - label_smoothing * log_p.mean(-1)
    return losses


def _slope(log_p: Tensor, targets: Tensor, weights: Tensor, label_smoothing: float) -> Tensor:
    """The weighted cross entropies' gradient to the logits, (n, V), in the place of `log_p`."""
    slope = log_p.exp_()
    if label_smoothing:
        slope -= label_smoothing / slope.shape[-1]
    slope[torch.arange(len(slope), device=slope.device), targets] -= 1 - label_smoothing
    return slope.mul_(weights[:, None])
