"""One optimizer step, and the validation loss.

The loss is weighted by tokens over the whole step: each batch's sum is divided by the learned
tokens of all batches on all processes. So accumulation and several processes give what one large
batch would.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

from ..errors import UserError
from .batches import Batch, StepRows, Steps, num_learned


class NotFinite(ArithmeticError):
    """The loss of batch number `batch` of a step (None: the gradient) is not a finite number."""

    def __init__(self, batch: int | None):
        super().__init__("the gradient" if batch is None else "the loss")
        self.batch = batch


class Unreadable(Exception):
    """A row, named in the message, that a process could not read; raised in all processes."""


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """Of one step over all processes: mean loss a learned token, gradient norm, counts.

    `loss` is without the heads'; `glyph_loss` is theirs a learned token, None where there are none.
    """

    loss: float
    glyph_loss: float | None
    grad_norm: float
    num_learned: int
    num_positions: int
    num_rows: int


def reach_a_parameter(model: nn.Module) -> None:
    """Let every loss of `model` depend on a parameter that trains, if only by a term of zero.

    Where the vision side alone trains, rows without pictures have no gradient. But several
    processes wait for each other in the backward pass: it must come about in each of them.
    """

    def add_nothing(module: nn.Module, _: Any, output: Any) -> Any:
        learns = torch.is_grad_enabled() and output.loss is not None
        if learns and not output.loss.requires_grad:
            parameter = next(p for p in module.parameters() if p.requires_grad)
            output.loss = output.loss + 0 * parameter.flatten()[:1].sum()
        return output

    model.register_forward_hook(add_nothing)  # within what accelerate wraps around the model


def train_step(
    model: nn.Module,
    accelerator: Accelerator,
    optimizer: Any,
    batches: Sequence[Batch],
    *,
    max_norm: float,
) -> StepResult:
    """Learn from the batches of one step.

    Raises:
        NotFinite: the loss or the gradient is not a number; the weights are as before.
    """
    counts = [sum(map(num_learned, batches)), *_sizes(batches)]
    learned, positions, rows = totals(accelerator, counts)
    own = accelerator.unwrap_model(model)
    losses, glyph_losses = [], []
    for number, batch in enumerate(batches, start=1):
        last = number == len(batches)
        with contextlib.nullcontext() if last else accelerator.no_sync(model):
            loss = model(**to_device(batch, accelerator), num_items_in_batch=learned).loss
            if loss.requires_grad:  # not where only the vision side trains and no row has a picture
                # the processes' gradients are averaged, and should be added
                accelerator.backward(loss * accelerator.num_processes)
        losses.append(loss.detach())
        if (glyph_loss := getattr(own, "glyph_loss", None)) is not None:
            losses[-1] = losses[-1] - own.weight * glyph_loss
            glyph_losses.append(glyph_loss)
    _check_losses(losses)
    norm = accelerator.clip_grad_norm_(model.parameters(), max_norm)
    if accelerator.scaler is None and not math.isfinite(norm):  # a scaler skips such steps
        raise NotFinite(None)
    if norm == 0:  # no row of any process had a gradient: neither momentum nor decay may act
        optimizer.zero_grad(set_to_none=True)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return StepResult(
        loss=float(accelerator.reduce(torch.stack(losses).sum())),
        glyph_loss=(
            float(accelerator.reduce(torch.stack(glyph_losses).sum())) if glyph_losses else None
        ),
        grad_norm=float(norm),
        num_learned=learned,
        num_positions=positions,
        num_rows=rows,
    )


def to_device(batch: Batch, accelerator: Accelerator) -> Batch:
    """The batch where the model is."""
    return {k: v.to(accelerator.device, non_blocking=True) for k, v in batch.items()}


def _sizes(batches: Sequence[Batch]) -> tuple[int, int]:
    """Positions without padding, and rows, of the batches that learn."""
    real = [batch for batch in batches if num_learned(batch)]
    positions = sum(int(batch["attention_mask"].sum()) for batch in real)
    return positions, sum(len(batch["input_ids"]) for batch in real)


def totals(accelerator: Accelerator, counts: Sequence[int]) -> list[int]:
    """Each count, summed over all processes."""
    if accelerator.num_processes == 1:
        return list(counts)
    return accelerator.reduce(torch.tensor(counts, device=accelerator.device)).tolist()


def read_together(accelerator: Accelerator, steps: Steps) -> Iterator[tuple[StepRows, list[Batch]]]:
    """The steps; a row that one process cannot read ends all of them at the same step.

    Raises:
        Unreadable: with the reasons of all processes.
    """
    prepared = iter(steps)
    for _ in steps.steps:
        reason = ""
        try:
            step = next(prepared)
        except UserError as error:
            reason = str(error)
        if totals(accelerator, [bool(reason)]) != [0]:
            raise Unreadable("\n".join(filter(None, gather_object([reason]))))
        yield step


def _check_losses(losses: Sequence[Tensor]) -> None:
    finite = torch.stack(list(losses)).isfinite().tolist()
    if not all(finite):
        raise NotFinite(finite.index(False))
