"""Optimizers over what trains, with a learning rate and a weight decay for each part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ...errors import UsageError
from ...model.late_imports import import_bitsandbytes
from ..drawn.heads import without_heads
from ..tuning.parts import assign_parts, published_name

ASKED_BY = "--optimizer adamw8bit"
PEAK = "peak_lr"
"""Where a group of parameters keeps its learning rate after warm-up; `lr` is that of the step."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Peak learning rate and weight decay, and those of the parts that have their own."""

    lr: float
    weight_decay: float
    part_lr: Mapping[str, float] = field(default_factory=dict)
    part_weight_decay: Mapping[str, float] = field(default_factory=dict)

    def of(self, part: str | None, *, decays: bool) -> tuple[float, float]:
        """Learning rate and weight decay of a part's parameters; None: of no part of the model."""
        decay = self.part_weight_decay.get(part or "", self.weight_decay)
        return self.part_lr.get(part or "", self.lr), decay if decays else 0.0


@dataclass(frozen=True, kw_only=True)
class Adam:
    """The decays of Adam's two averages, and what it adds to the root of the second."""

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def as_arguments(self) -> dict[str, Any]:
        """As torch and bitsandbytes call them."""
        return {"betas": (self.beta1, self.beta2), "eps": self.epsilon}


def check_optimizer(name: str, device: torch.device) -> None:
    """Whether an optimizer can run there.

    Raises:
        UsageError: adamw8bit without CUDA, or without bitsandbytes.
    """
    if name != "adamw8bit":
        return
    if device.type != "cuda":
        raise UsageError(
            f"{ASKED_BY} needs CUDA, not {device.type}; use adamw, or adafactor, which "
            "needs less memory, too"
        )
    import_bitsandbytes(ASKED_BY)


def make_optimizer(
    name: str, model: nn.Module, rates: Rates, adam: Adam | None = None
) -> torch.optim.Optimizer:
    """Optimizer `name` over what trains, the rates as `rates` says; `adam` None: as usual.

    adamw: Adam with decoupled weight decay (1711.05101), fused where torch can; adamw8bit: the same
    with its state in 8 bits (2110.02861), through bitsandbytes; adafactor: one number a row and
    column in place of Adam's two a weight (1804.04235), through torch; it has no use for `adam`.
    """
    averages = (adam or Adam()).as_arguments()
    groups = parameter_groups(model, rates)
    if name == "adamw8bit":
        return import_bitsandbytes(ASKED_BY).optim.AdamW8bit(groups, **averages)
    if name == "adafactor":
        return torch.optim.Adafactor(groups, lr=rates.lr)
    fused = all(p.device.type in ("cpu", "cuda") for group in groups for p in group["params"])
    return torch.optim.AdamW(groups, lr=rates.lr, **averages, fused=fused)


def parameter_groups(model: nn.Module, rates: Rates) -> list[dict[str, Any]]:
    """What trains, those of one learning rate and weight decay together.

    Matrices decay; norms, biases and other vectors do not. An adapter's parameters belong to the
    part that they change, heads that name glyphs to none.
    """
    own = without_heads(model)
    names = {parameter: published_name(name) for name, parameter in own.named_parameters()}
    owners = assign_parts(names.values())
    trained = [p for p in model.parameters() if p.requires_grad]
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in sorted(trained, key=lambda p: p.ndim <= 1):  # the matrices first
        part = owners[names[parameter]] if parameter in names else None
        groups.setdefault(rates.of(part, decays=parameter.ndim > 1), []).append(parameter)
    return [
        {"params": parameters, "lr": lr, PEAK: lr, "weight_decay": decay}
        for (lr, decay), parameters in groups.items()
    ]


def set_learning_rates(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Give every group this share of its peak learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = group[PEAK] * share
