"""The figures of each step: for the log, for programs, and beside the progress bar."""

from __future__ import annotations

import resource
import sys
from typing import Any

import torch
from torch import Tensor

from ..memory.device_memory import held_by_this_process
from ..optimization.step import StepResult


def step_figures(
    result: StepResult, *, lr: float, seconds: float, device: torch.device
) -> dict[str, Any]:
    """Of one step over all processes.

    `loss` includes `balance_loss`. Rates are positions (without padding) and rows a second, waiting
    for the batches included; `memory_gb` is this process's, in 10^9 bytes. With experts: see
    `load_figures`.
    """
    figures: dict[str, Any] = {
        "loss": result.loss,
        "lr": lr,
        "grad_norm": result.grad_norm,
        "num_learned": result.num_learned,
        "tokens_per_s": round(result.num_positions / seconds, 1),
        "samples_per_s": round(result.num_rows / seconds, 3),
        "memory_gb": round(used_memory(device) / 1e9, 3),
    }
    if result.glyph_loss is not None:
        figures["glyph_loss"] = result.glyph_loss
    if result.balance_loss is not None:
        figures["balance_loss"] = result.balance_loss
    if result.expert_load is not None:
        figures |= load_figures(result.expert_load)
    return figures


def load_figures(load: Tensor) -> dict[str, float | int]:
    """(layers, E) each expert's share of its layer's choices -> how uneven they are.

    `busiest_expert`: of all layers the largest share, as a multiple of the even one (1 is even, E
    would be one expert for all); `unused_experts`: how many got no choice at all.
    """
    return {
        "busiest_expert": round(float(load.max()) * load.shape[1], 3),
        "unused_experts": int((load == 0).sum()),
    }


def progress_notes(figures: dict[str, Any]) -> dict[str, str]:
    """What stands beside the count of steps."""
    return {
        "loss": f"{figures['loss']:.4f}",
        "lr": f"{figures['lr']:.2e}",
        "tokens/s": f"{figures['tokens_per_s']:.0f}",
        "samples/s": f"{figures['samples_per_s']:.3g}",
        "memory": f"{figures['memory_gb']:.2f}GB",
    }


def brief_notes(figures: dict[str, Any]) -> list[str]:
    """The same where a line is short, as on a terminal of 80 columns."""
    lr, power = f"{figures['lr']:.1e}".split("e")
    tokens = figures["tokens_per_s"]
    return [
        f"loss {figures['loss']:.4f}",
        f"lr {lr}e{int(power)}",
        f"{tokens / 1000:.0f}k tok/s" if tokens >= 10_000 else f"{tokens:.0f} tok/s",
        f"{figures['samples_per_s']:.3g} rows/s",
        f"{figures['memory_gb']:.3g}GB",
    ]


def used_memory(device: torch.device) -> int:
    """Bytes: on CUDA the most that tensors took so far, else what this process holds now."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if device.type == "mps":
        return torch.mps.driver_allocated_memory()
    if held := held_by_this_process():
        return held
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # where only the peak is told
    return most if sys.platform == "darwin" else most * 1024
