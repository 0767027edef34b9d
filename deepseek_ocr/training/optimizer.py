"""AdamW and the learning rate of each step."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

BETAS = (0.9, 0.999)


def make_optimizer(model: nn.Module, *, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW over what trains (Adam with decoupled weight decay, arXiv 1711.05101).

    Matrices decay; norms, biases and other vectors do not.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=lr, betas=BETAS, fused=_can_fuse(trained)
    )


def _can_fuse(parameters: Iterable[nn.Parameter]) -> bool:
    return all(p.device.type in ("cpu", "cuda") for p in parameters)


def learning_rate(step: int, *, peak: float, num_steps: int, warmup_ratio: float) -> float:
    """Of step number `step`, from 0: a line up to `peak`, then half a cosine down towards 0.

    The first and the last step learn, too: 0 would be reached one step before and after them.
    """
    num_warmup = math.ceil(warmup_ratio * num_steps)
    if step < num_warmup:
        return peak * (step + 1) / num_warmup
    progress = (step - num_warmup) / max(num_steps - num_warmup, 1)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """For all groups alike."""
    for group in optimizer.param_groups:
        group["lr"] = lr
