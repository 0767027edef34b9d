"""What a forward pass keeps for the backward pass, counted: the other side of the estimates."""

from __future__ import annotations

import contextlib
import weakref
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

STACKS = {"sam_model": "sam", "vision_model": "clip", "projector": "clip", "layers": "decoder"}


class KeptBytes:
    """Tensors that a graph keeps, by the stack that computes them; else `rest`.

    The model's own parameters do not count.
    """

    def __init__(self, model: nn.Module):
        self.model = model
        self.parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
        self.kept: list[tuple[str, weakref.ref[Tensor]]] = []
        self.inside: list[str] = ["rest"]

    def _keep(self, tensor: Tensor) -> Tensor:
        self.kept.append((self.inside[-1], weakref.ref(tensor)))
        return tensor

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Note what is kept in this block."""
        hooks: list[Any] = []
        for name, module in self.model.named_modules():
            *above, last = name.split(".")
            layer = bool(above) and above[-1] == "layers" and "vision_model" not in above
            if stack := "decoder" if layer else STACKS.get(last):
                if any(piece in STACKS for piece in above) and not layer:
                    continue  # within a stack that is watched already
                enter = module.register_forward_pre_hook
                hooks.append(enter(lambda *_, stack=stack: self.inside.append(stack)))
                hooks.append(module.register_forward_hook(lambda *_: self.inside.pop() and None))
        try:
            with torch.autograd.graph.saved_tensors_hooks(self._keep, lambda tensor: tensor):
                yield
        finally:
            for hook in hooks:
                hook.remove()

    def bytes(self) -> dict[str, int]:
        """Stack -> bytes that are kept now; a storage counts once, with the first who keeps it."""
        seen = set(self.parameters)
        found: dict[str, int] = defaultdict(int)
        for stack, reference in self.kept:
            tensor = reference()
            if tensor is None or (storage := tensor.untyped_storage()).data_ptr() in seen:
                continue
            seen.add(storage.data_ptr())
            found[stack] += storage.nbytes()
        return dict(found)


class PeakBytes(TorchDispatchMode):
    """The most bytes that are alive at a time, of tensors made while this is entered."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.alive = {p.untyped_storage()._cdata: 0 for p in model.parameters()}
        self.now = self.peak = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        found = function(*args, **(kwargs or {}))
        tree_map_only(Tensor, self._note, found)
        return found

    def _note(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        place = storage._cdata
        if tensor.device.type == "meta" or place in self.alive:
            return
        self.alive[place] = storage.nbytes()
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._gone, place)

    def _gone(self, place: int) -> None:
        self.now -= self.alive.pop(place)
