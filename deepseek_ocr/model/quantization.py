"""Frozen weights of four bits: the decoder's linear layers and its routed experts.

NF4 in blocks of 64, the blocks' scales in eight bits, as in QLoRA (arXiv 2305.14314), packed and
unpacked by bitsandbytes. A weight is unpacked where it is needed, in the forward pass and again in
the backward pass, and never kept: the experts one at a time. Embeddings, head, router, norms and
the vision side keep their format.

bitsandbytes' own `Linear4bit` is not used: in eval mode on a CPU it repacks its weights in place,
after which its product has no gradient (0.50.2, `nn/modules.py`), and it knows no stacked experts.

Letters: E experts, T tokens, D width, k experts a token, n weights a matrix.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from .experts import Experts
from .late_imports import import_bitsandbytes

FORMAT = "nf4"
BLOCK, OUTER_BLOCK = 64, 256
"""Weights that share a scale, and scales that share theirs."""

ASKED_BY = "--tune qlora"


class PackedWeights(nn.Module):
    """`count` frozen matrices (height, width) in four bits, each unpacked by itself."""

    CODES = "codes"
    """The name of the parameter that is the weights; the others are their scales."""

    def __init__(self, weights: Tensor, device: torch.device):
        """(count, height, width), packed on `device`."""
        super().__init__()
        functional = _functional()
        self.shape = weights.shape
        packed = []
        for matrix in weights.detach().unbind():
            codes, state = functional.quantize_4bit(
                matrix.to(device).flatten(),
                blocksize=BLOCK,
                compress_statistics=True,
                quant_type=FORMAT,
            )
            packed.append((codes.flatten(), state.absmax, state.state2.absmax, state.offset))
        # parameters, not buffers: what is frozen is not sent again at every step of several
        # processes, as buffers are
        self.codes, self.scales, self.outer_scales, self.offsets = (
            nn.Parameter(torch.stack(tensors), requires_grad=False)
            for tensors in zip(*packed, strict=True)
        )

    @property
    def num_weights(self) -> int:
        """How many numbers it stands for."""
        return math.prod(self.shape)

    def unpack(self, index: int, dtype: torch.dtype) -> Tensor:
        """Matrix `index`, (height, width)."""
        functional = _functional()
        outer = functional.QuantState(
            absmax=self.outer_scales[index].float(),
            code=_code_of_scales(self.codes.device),
            blocksize=OUTER_BLOCK,
            dtype=torch.float32,
        )
        state = functional.QuantState(
            absmax=self.scales[index],
            shape=torch.Size([math.prod(self.shape[1:])]),  # one row: blocks may cross rows
            dtype=dtype,
            blocksize=BLOCK,
            quant_type=FORMAT,
            offset=self.offsets[index].float(),
            state2=outer,
        )
        return functional.dequantize_4bit(self.codes[index, :, None], state).view(self.shape[1:])


@functools.cache
def _functional() -> Any:
    return import_bitsandbytes(ASKED_BY).functional


@functools.cache
def _code_of_scales(device: torch.device) -> Tensor:
    """The 256 numbers that scales of eight bits stand for."""
    return _functional().create_dynamic_map().to(device)


class _Product(torch.autograd.Function):
    """(..., D) @ (height, D) transposed, unpacked for either pass and not kept between them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weights: PackedWeights, index: int) -> Tensor:
        ctx.weights, ctx.index = weights, index
        return F.linear(x, weights.unpack(index, x.dtype))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (grad,) = grads
        return grad @ ctx.weights.unpack(ctx.index, grad.dtype), None, None


def packed_linear(x: Tensor, weights: PackedWeights, index: int = 0) -> Tensor:
    """`F.linear` with matrix `index` of `weights`, in the format of x, or autocast's."""
    if torch.is_autocast_enabled(x.device.type):
        x = x.to(torch.get_autocast_dtype(x.device.type))
    return _Product.apply(x, weights, index)


class QuantizedLinear(nn.Linear):
    """A linear layer whose frozen weight has four bits; adapters take it for a linear layer."""

    def __init__(self, linear: nn.Linear, device: torch.device):
        nn.Module.__init__(self)  # the parent's would make a weight
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.packed = PackedWeights(linear.weight[None], device)
        self.bias = linear.bias

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """The packed codes: where the weight is, for adapters to be put beside it."""
        return self.packed.codes

    def forward(self, x: Tensor) -> Tensor:
        out = packed_linear(x, self.packed)
        return out if self.bias is None else out + self.bias


class QuantizedExperts(nn.Module):
    """As `Experts`, with frozen weights of four bits, unpacked expert by expert."""

    def __init__(self, experts: Experts, device: torch.device):
        super().__init__()
        self.gate_up_proj = PackedWeights(experts.gate_up_proj, device)
        self.down_proj = PackedWeights(experts.down_proj, device)

    def forward(self, x: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        """(T, D) tokens, (T, k) experts and weights -> (T, D)."""
        by_expert = chosen.flatten().argsort(stable=True)  # (T * k), expert by expert
        counts = torch.bincount(chosen.flatten(), minlength=len(self.down_proj.codes)).tolist()
        rows = x[by_expert // chosen.shape[1]].split(counts)
        outputs = [self._expert(e, row) for e, row in enumerate(rows) if len(row)]
        answers = torch.cat(outputs)[by_expert.argsort()].unflatten(0, chosen.shape)  # (T, k, D)
        return (answers.float() * weights.unsqueeze(-1)).sum(1).to(x.dtype)

    def _expert(self, index: int, x: Tensor) -> Tensor:
        gate, up = packed_linear(x, self.gate_up_proj, index).chunk(2, dim=-1)
        return packed_linear(F.silu(gate) * up, self.down_proj, index)


def quantize_decoder(model: nn.Module, device: torch.device) -> None:
    """Replace the linear layers and the experts of the decoder's layers, one after another.

    The packed weights are on `device`; what is replaced frees its memory at once.

    Raises:
        UsageError: bitsandbytes is not here, or cannot do it on this device.
    """
    if device.type not in ("cpu", "cuda"):
        raise UsageError(
            f"{ASKED_BY}: weights of four bits need a CPU or CUDA, not {device.type}; use "
            "--tune lora"
        )
    _functional()
    layers: Any = model.model.layers  # type: ignore[union-attr]
    for layer in layers:
        for name, module in list(layer.named_modules()):
            kind = _KINDS.get(type(module))
            if kind is not None:
                parent = layer.get_submodule(name.rpartition(".")[0])
                setattr(parent, name.rpartition(".")[2], kind(module, device))


def packed_names(model: Any) -> set[str]:
    """The names of the weights that `quantize_decoder` would pack."""
    return {
        f"model.layers.{index}.{name}.{own}"
        for index, layer in enumerate(model.model.layers)
        for name, module in layer.named_modules()
        if type(module) in _KINDS
        for own, _ in module.named_parameters()
        if own != "bias"
    }


_KINDS: dict[type[nn.Module], Any] = {nn.Linear: QuantizedLinear, Experts: QuantizedExperts}
