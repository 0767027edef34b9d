"""Where training computes, in which number format, and how often the same way."""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils import deterministic

from ...errors import UsageError
from ...model.loading import pick_device
from ..config import TrainConfig
from ..optimization.step import reach_vision
from .sharding import check_sharding, shard

PRECISION = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}
MAX_WORKERS = 4

_in_each_process: weakref.WeakSet[DistributedDataParallel] = weakref.WeakSet()


@contextlib.contextmanager
def accelerator_for(device: str, dtype: str) -> Iterator[Accelerator]:
    """`accelerate` on a device; its global state is reset afterwards, so that runs can follow.

    `dtype` auto: bfloat16 autocast where CUDA has it, else float32.

    Raises:
        UsageError: there is no such device, or not one for each process.
    """
    target = pick_device(device)
    precision = choose_precision(target, dtype)
    _check_devices(target)
    if target.type == "cuda" and target.index is not None:
        torch.cuda.set_device(target)
    accelerator = Accelerator(cpu=target.type == "cpu", mixed_precision=precision)
    # ACCELERATE_GRADIENT_ACCUMULATION_STEPS would divide gradients that are weighted already
    accelerator.gradient_accumulation_steps = 1
    try:
        yield accelerator
    finally:
        _let_go_of_processes()
        accelerator.end_training()
        AcceleratorState._reset_state(reset_partial_state=True)


def _let_go_of_processes() -> None:
    """Take from DDP what holds the group of processes, so that it ends with the accelerator.

    Otherwise it ends with the model, which may live longer, and the interpreter's lock is held
    meanwhile: gloo's threads are waited for, and may wait for the lock themselves, to drop a
    tensor. The process would hang at its end.
    """
    for model in _in_each_process:
        model.reducer = model.logger = None
    _in_each_process.clear()


def _check_devices(target: torch.device) -> None:
    """One CUDA device for each process that torchrun started here."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if target.type != "cuda" or processes == 1:
        return
    if target.index is not None:
        raise UsageError(
            f"--device {target} is one device for {processes} processes; use --device cuda, and "
            "choose the devices with CUDA_VISIBLE_DEVICES"
        )
    if (found := torch.cuda.device_count()) < processes:
        raise UsageError(
            f"{processes} processes were started here, but there are {found} CUDA devices; start "
            f"them with --nproc_per_node={found}"
        )


def shares_weights(config: TrainConfig, accelerator: Accelerator) -> bool:
    """Whether processes share one model: `--fsdp` says so, or what `accelerate launch` was told.

    Raises:
        UsageError: it cannot be done with the other settings.
    """
    told = accelerator.distributed_type == DistributedType.FSDP
    if not config.fsdp and not told:
        return False
    if told and not accelerator.is_fsdp2:
        raise UsageError(
            "accelerate's configuration asks for FSDP 1; set `fsdp_version: 2` in it, or start by "
            "torchrun with --fsdp"
        )
    check_sharding(accelerator.num_processes, accelerator.mixed_precision, config)
    return True


def distribute(
    model: nn.Module,
    make_optimizer: Callable[[nn.Module], torch.optim.Optimizer],
    accelerator: Accelerator,
    *,
    shared: bool,
) -> tuple[nn.Module, Any]:
    """The model on its device, in each process or `shared` among them, and its optimizer."""
    if accelerator.process_index:  # else all would leave out the same in dropout
        torch.manual_seed(torch.initial_seed() + accelerator.process_index)
    if not shared:
        reach_vision(model)
        optimizer = make_optimizer(model.to(accelerator.device))
        model, optimizer = accelerator.prepare(model, optimizer)
        if isinstance(model, DistributedDataParallel):
            _in_each_process.add(model)
        return model, optimizer
    shard(model, accelerator)
    return model, accelerator.prepare_optimizer(make_optimizer(model))


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
