"""One optimizer step, and the validation loss.

The loss is weighted by tokens over the whole step: each batch's sum is divided by the learned
tokens of all batches on all processes. So accumulation and several processes give what one large
batch would.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ...errors import UserError
from ..batching.batches import Batch, StepRows, Steps, learned_weight, num_learned
from ..batching.collation import IMAGE_EMBEDS
from ..drawn.heads import without_heads
from ..processes.collective import everyones, totals
from ..processes.sharding import is_sharded, whole_tensor
from ..tuning.parts import VISION, assign_parts, published_name
from .not_finite import check_losses, explain_gradient, num_rows


class Unreadable(Exception):
    """A row, named in the message, that a process could not read; raised in all processes."""


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """Of one step over all processes: mean loss a learned token, gradient norm, counts.

    `learned_weight` is the sum of the learned tokens' weights, which `loss` is divided by; where
    all weigh 1, their number.

    `loss` is without the heads'; `glyph_loss` is theirs a learned token, None where there are none.
    `balance_loss` is the part of `loss` that evens out the experts; `expert_load` (layers with
    experts, E) each expert's share of the choices of a layer. None where the model gives none.
    """

    loss: float
    glyph_loss: float | None
    balance_loss: float | None
    expert_load: Tensor | None
    grad_norm: float
    num_learned: int
    learned_weight: float
    num_positions: int
    num_rows: int


def reach_vision(model: nn.Module) -> None:
    """Let every loss of `model` depend on the vision side that trains, if only by a term of zero.

    Rows without pictures do not pass through it. But several processes wait for each other's
    gradients of every parameter: they must come about in each of them. What comes of a step
    without any picture is left out again by `train_step`.
    """
    vision = _vision_that_trains(without_heads(model))

    def add_nothing(_: nn.Module, __: Any, batch: dict[str, Any], output: Any) -> Any:
        if torch.is_grad_enabled() and output.loss is not None and not _has_pictures(batch):
            for parameter in vision:
                output.loss = output.loss + 0 * parameter.flatten()[:1].sum()
        return output

    # within what accelerate wraps around the model
    model.register_forward_hook(add_nothing, with_kwargs=True)


def _vision_that_trains(model: nn.Module) -> list[nn.Parameter]:
    names = {name: published_name(name) for name, p in model.named_parameters() if p.requires_grad}
    owners = assign_parts(published_name(name) for name, _ in model.named_parameters())
    return [model.get_parameter(name) for name, own in names.items() if owners[own] in VISION]


def _has_pictures(batch: Mapping[str, Any]) -> bool:
    views = (batch.get(name) for name in ("pixel_values", IMAGE_EMBEDS))
    return any(view is not None and len(view) for view in views)


def train_step(
    model: nn.Module,
    accelerator: Accelerator,
    optimizer: Any,
    batches: Sequence[Batch],
    *,
    max_norm: float,
    label_smoothing: float = 0.0,
) -> StepResult:
    """Learn from the batches of one step.

    Raises:
        NotFinite: the loss or the gradient is not a number; the weights are as before. In all
            processes alike.
    """
    counts = [sum(map(num_learned, batches)), *_sizes(batches), sum(map(_has_pictures, batches))]
    learned, positions, rows, with_pictures = totals(accelerator, counts)
    weight = totals(accelerator, [sum(map(learned_weight, batches))])[0]
    own = accelerator.unwrap_model(model)

    def loss_of(batch: Batch) -> Tensor:
        return own(**batch, num_items_in_batch=weight, label_smoothing=label_smoothing).loss

    figures = _Figures()
    for number, batch in enumerate(batches, start=1):
        with _gradients_kept(model, accelerator, last=number == len(batches)):
            output = model(
                **to_device(batch, accelerator),
                num_items_in_batch=weight,
                label_smoothing=label_smoothing,
            )
            if output.loss.requires_grad:  # not where only the vision side trains, without pictures
                # the processes' gradients are averaged, and should be added
                accelerator.backward(output.loss * accelerator.num_processes)
        figures.add(output, own, num_tokens=_num_tokens(batch))
    check_losses(model, accelerator, batches, figures.losses, loss_of)
    if not with_pictures:  # as a single process: neither momentum nor decay may act on vision
        for parameter in _vision_that_trains(without_heads(own)):
            parameter.grad = None
    norm = _shorten_gradient(model, accelerator, max_norm)
    if accelerator.scaler is None and not math.isfinite(norm):  # a scaler skips such steps
        raise explain_gradient(model, accelerator, batches, loss_of)
    if norm == 0:  # no row of any process had a gradient: neither momentum nor decay may act
        optimizer.zero_grad(set_to_none=True)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return StepResult(
        loss=_summed(accelerator, figures.losses) or 0.0,
        glyph_loss=_summed(accelerator, figures.glyph_losses),
        balance_loss=_summed(accelerator, figures.balance_losses),
        expert_load=figures.expert_load(accelerator),
        grad_norm=norm,
        num_learned=learned,
        learned_weight=weight,
        num_positions=positions,
        num_rows=rows,
    )


class _Figures:
    """What a step's batches gave, one after the other, for its result."""

    def __init__(self) -> None:
        self.losses: list[Tensor] = []
        self.glyph_losses: list[Tensor] = []
        self.balance_losses: list[Tensor] = []
        self.loads: list[Tensor] = []
        self.num_tokens = 0

    def add(self, output: Any, model: Any, *, num_tokens: int) -> None:
        """The losses without the heads', which `model` has seen; loads weigh by real tokens."""
        self.losses.append(output.loss.detach())
        if (glyph_loss := getattr(model, "glyph_loss", None)) is not None:
            self.losses[-1] = self.losses[-1] - model.weight * glyph_loss
            self.glyph_losses.append(glyph_loss)
        if (balance := getattr(output, "balance_loss", None)) is not None:
            self.balance_losses.append(balance.detach())
        if (load := getattr(output, "expert_load", None)) is not None:
            self.loads.append(load * num_tokens)
            self.num_tokens += num_tokens

    def expert_load(self, accelerator: Accelerator) -> Tensor | None:
        """(layers with experts, E) over all batches and processes; None where there are none."""
        if not self.loads:
            return None
        summed = accelerator.reduce(torch.stack(self.loads).sum(0))
        return summed.cpu() / max(totals(accelerator, [self.num_tokens])[0], 1)


def _summed(accelerator: Accelerator, losses: Sequence[Tensor]) -> float | None:
    """Over a step's batches and all processes; None where there are none."""
    return accelerator.reduce(torch.stack(list(losses)).sum()).item() if losses else None


def _gradients_kept(
    model: nn.Module, accelerator: Accelerator, *, last: bool
) -> contextlib.AbstractContextManager[None]:
    """Gradients of all but the last batch stay in their process, to be exchanged once.

    A sharded model exchanges them each time: only so they are never whole in one process.
    """
    # DeepSpeed, where accelerate was told to use it, asks here whether to exchange and step
    accelerator.gradient_state._set_sync_gradients(last)
    return contextlib.nullcontext() if last or is_sharded(model) else accelerator.no_sync(model)


def _shorten_gradient(model: nn.Module, accelerator: Accelerator, max_norm: float) -> float:
    """Shorten the gradient to `max_norm`; its length before, over all processes."""
    norm = accelerator.clip_grad_norm_(model.parameters(), max_norm)
    return 0.0 if norm is None else float(whole_tensor(norm))  # None: DeepSpeed, early on


def to_device(batch: Batch, accelerator: Accelerator) -> Batch:
    """The batch where the model is."""
    return {k: v.to(accelerator.device, non_blocking=True) for k, v in batch.items()}


def _num_tokens(batch: Batch) -> int:
    """Positions without padding; none of a batch that learns nothing, which repeats a row."""
    return int(batch["attention_mask"].sum()) if num_learned(batch) else 0


def _sizes(batches: Sequence[Batch]) -> tuple[int, int]:
    """Positions without padding, and rows, of the batches that learn."""
    rows = sum(num_rows(batch) for batch in batches if num_learned(batch))
    return sum(map(_num_tokens, batches)), rows


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
            raise Unreadable("\n".join(filter(None, everyones(accelerator, reason))))
        yield step
