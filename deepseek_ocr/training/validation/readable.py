"""A model in training as `OcrEngine` takes it, whatever is wrapped around it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import nn
from torch.distributed.fsdp import register_fsdp_forward_method
from transformers import PreTrainedModel

from ..drawn.heads import without_heads
from ..processes.sharding import is_sharded


class Readable:
    """What `OcrEngine` needs of a model: where it is, its sizes, and how it generates.

    Within `precision`, which sets the number format; `options` are further arguments of `generate`.
    """

    def __init__(
        self,
        model: Any,
        device: torch.device,
        precision: Callable[[], contextlib.AbstractContextManager[Any]],
        **options: Any,
    ):
        self.config, self.device = model.config, device
        self._model, self._precision, self._options = model, precision, options

    def generate(self, **inputs: Any) -> Any:
        """As the model's own, (B, N) ids with the prompt's."""
        with self._precision():
            return self._model.generate(**inputs, **self._options)


@contextlib.contextmanager
def readable(model: nn.Module, accelerator: Accelerator) -> Iterator[tuple[Readable, bool]]:
    """The model for `OcrEngine`, and whether all processes must read equally often.

    They must where each holds a part of the weights only: every token then needs all of them.
    """
    root = accelerator.unwrap_model(model)
    inner = without_heads(root)
    shards = is_sharded(root)
    in_step = accelerator.num_processes > 1 and (
        shards or accelerator.distributed_type == DistributedType.DEEPSPEED
    )
    options = {"synced_gpus": True} if in_step else {}
    if not shards:
        yield Readable(inner, accelerator.device, accelerator.autocast, **options), in_step
        return
    with _gathering(root, inner) as reading:  # FSDP has the number format in the weights
        yield Readable(reading, accelerator.device, contextlib.nullcontext, **options), in_step


@contextlib.contextmanager
def _gathering(root: nn.Module, inner: Any) -> Iterator[Any]:
    """A model whose `generate` gathers the weights that the root of a sharded model keeps.

    FSDP does so by itself when the root is called, but an adapter or heads call what is in them.
    """
    if root is inner and isinstance(root, PreTrainedModel):
        yield root
        return
    root._generate_within = inner.generate  # type: ignore[assignment]
    register_fsdp_forward_method(root, "_generate_within")
    try:
        yield _Within(root, inner)
    finally:
        del root._generate_within


class _Within:
    """Generates as `inner` does, within its root's forward pass."""

    def __init__(self, root: Any, inner: Any):
        self.config, self.generate = inner.config, root._generate_within
