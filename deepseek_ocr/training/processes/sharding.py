"""A model shared among processes (FSDP2, arXiv 2304.11277): each keeps a part of every tensor.

A layer of the decoder is gathered while it runs, forward and backward. All the rest is gathered
with the model as a whole, once a pass: the vision side, as rows of different processes have unlike
numbers of pictures and tiles, and processes that gather a layer unlike often would wait for each
other forever; embeddings and head, as the loss may use the head's weights in pieces.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from ...errors import UsageError
from ...model.language import DecoderLayer
from ...model.modeling import DeepseekOcrModel
from ..config import TrainConfig


def shard(model: nn.Module, accelerator: Accelerator) -> None:
    """Move the model to its device and leave each process its part of every tensor, in place.

    Computes in the accelerator's number format; sums of gradients and weights are float32.
    """
    pass_alike(model)
    mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
    half = torch.bfloat16 if accelerator.mixed_precision == "bf16" else None
    precision = MixedPrecisionPolicy(
        param_dtype=half, reduce_dtype=torch.float32, cast_forward_inputs=False
    )
    for module in (*_layers(model), model):
        fully_shard(module, mesh=mesh, mp_policy=precision)


def check_sharding(num_processes: int, precision: str, config: TrainConfig) -> None:
    """Refuse what sharding does not go with.

    Raises:
        UsageError: one process, float16, or weights or an optimizer that cannot be shared.
    """
    if num_processes == 1:
        raise UsageError(
            "--fsdp shares the model among processes, and this is the only one; start several by "
            "`torchrun --nproc_per_node=N train.py ...`, or leave --fsdp out"
        )
    if precision == "fp16":
        raise UsageError("--fsdp computes in bfloat16 or float32; choose one of them with --dtype")
    if config.optimizer != "adamw":
        raise UsageError(f"--fsdp cannot share the state of --optimizer {config.optimizer}")
    if config.tune == "qlora":
        raise UsageError("--fsdp cannot share weights of 4 bits; use --tune lora, or one process")


def is_sharded(model: nn.Module) -> bool:
    """Whether `shard` has been applied."""
    return isinstance(model, FSDPModule)


def pass_alike(model: Any) -> None:
    """Let each pass of each process go through all of a model that will be sharded, in one order.

    Rows without pictures, or that learn nothing, would leave out what other processes gather, and
    gradients that others add up. Terms of zero stand for them: at the decoder's begin of all that
    is gathered with the model as a whole, and at its end of the decoder.
    """
    seen: dict[str, Tensor] = {}

    def begin(_: nn.Module, __: Any, embeds: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return embeds
        # layers of the decoder are not gathered here: they are DTensors still
        whole = (p for p in model.parameters() if p.requires_grad and not isinstance(p, DTensor))
        return embeds + sum(0 * p.flatten()[:1].sum().to(embeds.dtype) for p in whole)

    def end(_: nn.Module, __: Any, hidden: Tensor) -> None:
        seen["hidden"] = hidden

    def add(_: nn.Module, __: Any, output: Any) -> Any:
        hidden = seen.pop("hidden")
        if torch.is_grad_enabled() and output.loss is not None and hidden.requires_grad:
            output.loss = output.loss + 0 * hidden.flatten()[:1].sum()
        return output

    model.get_input_embeddings().register_forward_hook(begin)
    [norm] = (m.norm for m in model.modules() if isinstance(m, DeepseekOcrModel))
    norm.register_forward_hook(end)
    model.register_forward_hook(add)  # before those of sharding itself


def share_again(model: nn.Module) -> None:
    """After passes without gradients: leave each process its part again of what they gathered."""
    if is_sharded(model):
        model.reshard()  # type: ignore[operator]


def whole_tensor(tensor: Tensor) -> Tensor:
    """All of a tensor that is shared among processes, each of which must ask; else itself."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def as_shared(tensor: Tensor, like: Tensor) -> Tensor:
    """A whole tensor on the device of `like`, and shared as `like` is if they have one shape."""
    tensor = tensor.to(like.device)
    if not isinstance(like, DTensor) or tensor.shape != like.shape:
        return tensor
    # every process read the same file: nothing needs to be sent
    return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)


def _layers(model: nn.Module) -> Iterable[nn.Module]:
    return [module for module in model.modules() if isinstance(module, DecoderLayer)]
