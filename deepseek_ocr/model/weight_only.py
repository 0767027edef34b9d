"""Weights of eight or four bits for reading: the decoder's products take half or a third of the
memory, and as much less time where memory is what counts.

Eight bits: one scale a row of a matrix, codes from -127 to 127. Four bits: one scale for each 32
weights of a row, the largest of them exact (as GGUF's Q4_0). Only the decoder's linear layers, its
routed experts and the head are changed; embedding, router, norms and the vision side keep their
format, and so do activations. Nothing trains afterwards.

Letters: E experts, T tokens, D width, k experts a token.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UserError
from .expert_products import apply_natively
from .experts import Experts
from .native.linear import takes_experts

BITS = {"int8": 8, "int4": 4}
"""The value of `quantize` -> bits of a weight."""
GROUP = 32
"""Weights of four bits that share a scale."""
PART = 4096
"""Rows of a matrix that are unpacked at a time: the head is large."""


class PackedMatrices(nn.Module):
    """A matrix (out, in), or a stack of them (E, out, in), in codes and scales."""

    codes: Tensor
    """(..., out, in) int8, or (..., out, in / 2) uint8: weights i (low) and i + 16 of each 32."""
    scales: Tensor
    """float32: (..., out), or (..., out, in / 32)."""

    def __init__(self, weight: Tensor, bits: int):
        super().__init__()
        self.bits = bits
        matrices = weight.detach().flatten(0, -3) if weight.ndim > 2 else weight.detach()[None]
        packed = [(pack_bytes if bits == 8 else pack_nibbles)(matrix) for matrix in matrices]
        codes, scales = (torch.stack(parts) for parts in zip(*packed, strict=True))
        self.register_buffer("codes", codes.view(*weight.shape[:-1], -1))
        self.register_buffer("scales", scales.view(*weight.shape[:-2], *scales.shape[1:]))

    def _apply(self, fn: Any, recurse: bool = True) -> PackedMatrices:
        """Moves with the model, but scales stay float32 when it changes its format."""
        scales = self.scales
        super()._apply(fn, recurse)
        if self.scales.dtype != torch.float32:
            self.scales = scales.to(self.codes.device)
        return self

    def multiply(self, x: Tensor, index: int | None = None) -> Tensor:
        """(T, in) times the matrix, or number `index` of the stack, transposed -> (T, out)."""
        codes = self.codes if index is None else self.codes[index]
        scales = self.scales if index is None else self.scales[index]
        parts = []
        for start in range(0, len(codes), PART):
            own = slice(start, start + PART)
            if self.bits == 8:
                # whole numbers to 127 are exact in every format: scaled after the product
                parts.append(F.linear(x, codes[own].to(x.dtype)) * scales[own].to(x.dtype))
            else:
                parts.append(F.linear(x, unpack_nibbles(codes[own], scales[own]).to(x.dtype)))
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)


def pack_bytes(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """(out, in) -> codes (out, in) int8, scales (out,) float32."""
    codes = torch.empty(matrix.shape, dtype=torch.int8, device=matrix.device)
    scales = torch.empty(len(matrix), device=matrix.device)
    for start in range(0, len(matrix), PART):  # in float32 a large head would take gigabytes
        own = slice(start, start + PART)
        exact = matrix[own].float()
        scales[own] = exact.abs().amax(1) / 127
        codes[own] = (exact / scales[own].clamp(min=1e-30)[:, None]).round_()
    return codes, scales


def pack_nibbles(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """(out, in) -> codes (out, in / 2) uint8, scales (out, in / 32) float32."""
    groups = matrix.float().unflatten(1, (-1, GROUP))
    largest = groups.gather(2, groups.abs().argmax(2, keepdim=True))
    scales = largest / -8  # so that the largest is -8 times the scale
    safe = torch.where(scales == 0, 1, scales)
    codes = (groups / safe).round_().clamp_(-8, 7).add_(8).to(torch.uint8)
    low, high = codes.split(GROUP // 2, dim=2)
    return (low | high << 4).flatten(1), scales.squeeze(2)


def unpack_nibbles(codes: Tensor, scales: Tensor) -> Tensor:
    """As `pack_nibbles` gave them -> (out, in) float32."""
    pairs = codes.unflatten(1, (-1, GROUP // 2))
    both = torch.cat([pairs & 15, pairs >> 4], dim=2).float() - 8
    return (both * scales.unsqueeze(2)).flatten(1)


class WeightOnlyLinear(nn.Module):
    """(..., in) -> (..., out), as the linear layer that it was made from."""

    def __init__(self, linear: nn.Linear, bits: int):
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.packed = PackedMatrices(linear.weight, bits)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        out = self.packed.multiply(x.flatten(0, -2)).unflatten(0, x.shape[:-1])
        return out if self.bias is None else out + self.bias


class WeightOnlyExperts(nn.Module):
    """(T, D) tokens, (T, k) experts and weights -> (T, D), as the `Experts` it was made from."""

    def __init__(self, experts: Experts, bits: int):
        super().__init__()
        self.gate_up_proj = PackedMatrices(experts.gate_up_proj, bits)
        self.down_proj = PackedMatrices(experts.down_proj, bits)

    def forward(self, x: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        stacks = self.gate_up_proj, self.down_proj
        if stacks[0].bits == 8 and takes_experts(x, *(stack.codes for stack in stacks)):
            codes, scales = [s.codes for s in stacks], (stacks[0].scales, stacks[1].scales)
            return apply_natively(x, chosen, weights, codes[0], codes[1], scales)
        out = torch.zeros(x.shape, dtype=torch.float32, device=x.device)
        for expert in chosen.unique().tolist():
            tokens, places = (chosen == expert).nonzero(as_tuple=True)
            gate, up = self.gate_up_proj.multiply(x[tokens], expert).chunk(2, dim=-1)
            answers = self.down_proj.multiply(F.silu(gate) * up, expert)
            out.index_add_(0, tokens, answers * weights[tokens, places, None])
        return out.to(x.dtype)


def check_quantize(quantize: str | None) -> None:
    """Raises ValueError where `quantize` is neither None nor a known way."""
    if quantize is not None and quantize not in BITS:
        raise ValueError(f"unknown quantize {quantize!r}; known: {', '.join(BITS)}, or None")


def with_quantized_weights(model: Any, quantize: str) -> Any:
    """A loaded model in eval mode with quantized weights; an adapter is merged before.

    Raises:
        UserError: the model's sizes do not suit it.
    """
    if hasattr(model, "merge_and_unload"):
        model = model.merge_and_unload()
    try:
        quantize_weights(model, quantize)
    except ValueError as error:
        raise UserError(str(error)) from None
    return model.eval()


def quantize_weights(model: nn.Module, quantize: str) -> None:
    """Replace the decoder's linear layers, its experts and the head, one after another.

    What is replaced frees its memory at once.

    Args:
        model: a `DeepseekOcrForConditionalGeneration`.
        quantize: `int8` or `int4`.

    Raises:
        ValueError: `quantize` is neither, or rows of weights do not divide into groups.
    """
    check_quantize(quantize)
    bits = BITS[quantize]
    places = list(replaceable(model))
    for _, name, child in places:
        for parameter in child.parameters():
            if bits == 4 and parameter.ndim > 1 and parameter.shape[-1] % GROUP:
                raise ValueError(
                    f"int4 needs rows of a multiple of {GROUP} weights; {name} has rows of "
                    f"{parameter.shape[-1]}; use int8"
                )
    while places:
        parent, name, child = places.pop()
        kind: Any = WeightOnlyExperts if isinstance(child, Experts) else WeightOnlyLinear
        setattr(parent, name, kind(child, bits))
        del child


def replaceable(model: Any) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    """Modules whose weights can be packed: in which module, by what name."""
    for parent in model.model.layers.modules():
        for name, child in parent.named_children():
            if type(child) in (nn.Linear, Experts):
                yield parent, name, child
    yield model, "lm_head", model.lm_head
