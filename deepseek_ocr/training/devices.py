"""Where training computes, in which number format, and how often the same way."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState
from torch.utils import deterministic

from ..errors import UsageError
from ..model.loading import pick_device

PRECISION = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}
MAX_WORKERS = 4


@contextlib.contextmanager
def accelerator_for(device: str, dtype: str, *, find_unused: bool) -> Iterator[Accelerator]:
    """`accelerate` on a device; its global state is reset afterwards, so that runs can follow.

    `dtype` auto: bfloat16 autocast where CUDA has it, else float32. `find_unused`: some batches do
    not reach every part (rows without pictures), which distributed training must be told.
    """
    target = pick_device(device)
    precision = choose_precision(target, dtype)
    if target.type == "cuda" and target.index is not None:
        torch.cuda.set_device(target)
    unused = DistributedDataParallelKwargs(find_unused_parameters=find_unused)
    accelerator = Accelerator(
        cpu=target.type == "cpu", mixed_precision=precision, kwargs_handlers=[unused]
    )
    # ACCELERATE_GRADIENT_ACCUMULATION_STEPS would divide gradients that are weighted already
    accelerator.gradient_accumulation_steps = 1
    try:
        yield accelerator
    finally:
        if accelerator.num_processes > 1:
            # gloo's threads may still want the interpreter's lock, to drop a tensor; closing holds
            # that lock while it waits for them
            time.sleep(0.2)
        accelerator.end_training()
        AcceleratorState._reset_state(reset_partial_state=True)


def choose_precision(device: torch.device, dtype: str) -> str:
    """`accelerate`'s name of the number format: no (float32), bf16 or fp16."""
    if dtype == "float16" and device.type != "cuda":
        raise UsageError(f"--dtype float16 needs CUDA, not {device.type}; use bfloat16 or float32")
    if dtype != "auto":
        return PRECISION[dtype]
    return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "no"


def choose_num_workers(device: torch.device, wanted: int | None) -> int:
    """Processes that prepare batches: none on a CPU, which computes with all its cores already."""
    if wanted is not None:
        return wanted
    return 0 if device.type == "cpu" else min(MAX_WORKERS, os.cpu_count() or 1)


@contextlib.contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """On a CPU every operation gives the same bits each time; elsewhere nothing is promised."""
    if device.type != "cpu":
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    fills = deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(True, warn_only=True)
    # filling new memory costs time, and no result here depends on it
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warns)
        deterministic.fill_uninitialized_memory = fills  # type: ignore[attr-defined]
