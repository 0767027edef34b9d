"""Linear layers and routed experts in C where nothing learns, else in torch: see `linear.c`.

The C way knows bfloat16 on a CPU, weights of 8 bits as well. It multiplies faster than torch's
own products, above all where rows are few hundred, and its answer for a row is the same whatever
rows stand beside it. Letters: M rows, K inputs, N outputs, T tokens, E experts, k experts a token.
"""

from __future__ import annotations

import ctypes
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .library import ExpertsCall, LinearCall, library

Activation = Literal["gelu", "quick_gelu"]
CODES: dict[Activation | None, int] = {None: 0, "gelu": 1, "quick_gelu": 2}
GATED = 3
KINDS = {torch.bfloat16: 1, torch.int8: 2}
FEWEST_ROWS = 4
"""Below it a product is a walk over the weights, which torch does as well."""
INPUTS, OUTPUTS = 32, 16
"""Multiples that the sizes of a layer have, or C does not take it."""


def linear(
    layer: nn.Module,
    x: Tensor,
    *,
    activation: Activation | None = None,
    residual: Tensor | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """`residual` + `activation` of a linear layer's answer.

    Args:
        layer: any module that maps (..., K) to (..., N); C takes plain ones.
        x: (..., K).
        residual: (..., N).
        out: (..., N) contiguous memory for the answer, where nothing learns; may be `residual`.

    Returns:
        (..., N).
    """
    if (
        not _takes(x, layer)
        or not _fits(x, layer, residual)
        or not _fits(x, layer, out, whole=True)
    ):
        answer = activate(layer(x), activation)
        answer = answer if residual is None else residual + answer
        return answer if out is None else out.copy_(answer)
    weight, scales = _matrix(layer)
    if out is None:
        out = x.new_empty(*x.shape[:-1], len(weight))
    x = x.contiguous()
    if residual is not None:
        residual = residual.contiguous()
    call = LinearCall(
        x=_pointer(x),
        weights=_pointer(weight),
        scales=_pointer(scales),
        bias=_pointer(layer.bias),  # type: ignore[arg-type]
        residual=_pointer(residual),
        out=_pointer(out),
        x_stride=x.shape[-1],
        out_stride=len(weight),
        rows=x[..., 0].numel(),
        inputs=x.shape[-1],
        outputs=len(weight),
        kind=KINDS[weight.dtype],
        activation=CODES[activation],
    )
    _run(call)
    return out


def gated(gate: nn.Module, up: nn.Module, x: Tensor) -> Tensor | None:
    """silu(gate(x)) * up(x) of (..., K), or None where C does not take these layers."""
    if not _takes(x, gate, up) or gate.bias is not None or up.bias is not None:
        return None
    (weight, scales), (up_weight, up_scales) = _matrix(gate), _matrix(up)
    if weight.shape != up_weight.shape or weight.dtype != up_weight.dtype:
        return None
    out = x.new_empty(*x.shape[:-1], len(weight))
    x = x.contiguous()
    call = LinearCall(
        x=_pointer(x),
        weights=_pointer(weight),
        up=_pointer(up_weight),
        scales=_pointer(scales),
        up_scales=_pointer(up_scales),
        out=_pointer(out),
        x_stride=x.shape[-1],
        out_stride=len(weight),
        rows=x[..., 0].numel(),
        inputs=x.shape[-1],
        outputs=len(weight),
        kind=KINDS[weight.dtype],
        activation=GATED,
    )
    _run(call)
    return out


def takes_experts(x: Tensor, *weights: Tensor) -> bool:
    """Whether `experts` takes (T, K) tokens and stacks of such weights."""
    return _is_ready(x) and all(_is_plain(weight) for weight in weights) and not _learns(x, weights)


def experts(
    x: Tensor,
    tokens: Tensor,
    ends: Tensor,
    share: Tensor,
    gate_up: Tensor,
    down: Tensor,
    scales: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """The weighted sum of each token's experts, added in float32.

    Args:
        x: (T, D).
        tokens: (T * k,) the token of each choice, choices sorted by expert.
        ends: (E,) where each expert's choices end.
        share: (T * k,) float32, what each choice weighs.
        gate_up, down: (E, 2H, D) and (E, D, H), bfloat16 or codes of 8 bits.
        scales: those of the codes, (E, 2H) and (E, D) float32.

    Returns:
        (T, D) in the format of `x`.
    """
    width, units = x.shape[1], down.shape[2]
    x, tokens, share = x.contiguous(), tokens.long().contiguous(), share.float().contiguous()
    ends = ends.long().contiguous()
    hidden = x.new_empty(len(tokens), units)
    sums = torch.zeros(x.shape, dtype=torch.float32)
    call = ExpertsCall(
        x=_pointer(x),
        tokens=_pointer(tokens),
        ends=_pointer(ends),
        share=_pointer(share),
        gate_up=_pointer(gate_up),
        down=_pointer(down),
        gate_up_scales=_pointer(scales[0]) if scales else None,
        down_scales=_pointer(scales[1]) if scales else None,
        hidden=_pointer(hidden),
        sums=_pointer(sums),
        experts=len(down),
        width=width,
        units=units,
        kind=KINDS[gate_up.dtype],
    )
    found = library()
    assert found is not None
    threads = torch.get_num_threads()
    room = torch.empty(found.linear_bytes(max(width, units), threads), dtype=torch.uint8)
    found.experts(ctypes.byref(call), room.data_ptr(), threads)
    return sums.to(x.dtype)


def activate(x: Tensor, activation: Activation | None) -> Tensor:
    """What C does to its sums, in torch."""
    if activation == "gelu":
        return F.gelu(x)
    return x * torch.sigmoid(1.702 * x) if activation == "quick_gelu" else x


def _run(call: Any) -> None:
    found = library()
    assert found is not None
    threads = torch.get_num_threads()
    room = torch.empty(found.linear_bytes(call.inputs, threads), dtype=torch.uint8)
    found.linear(ctypes.byref(call), room.data_ptr(), threads)


def _takes(x: Tensor, *layers: nn.Module) -> bool:
    if not _is_ready(x) or x[..., 0].numel() < FEWEST_ROWS:
        return False
    for layer in layers:
        packed = getattr(layer, "packed", None)
        if type(layer) is not nn.Linear and (packed is None or packed.bits != 8):
            return False
        if layer._forward_hooks or layer._forward_pre_hooks or "forward" in vars(layer):
            return False
        weight, _ = _matrix(layer)
        bias: Any = layer.bias
        if not _is_plain(weight) or weight.shape[-1] != x.shape[-1]:
            return False
        if bias is not None and (bias.dtype != x.dtype or not bias.is_contiguous()):
            return False
        if _learns(x, (weight,) if bias is None else (weight, bias)):
            return False
    return True


def _fits(x: Tensor, layer: nn.Module, other: Tensor | None, *, whole: bool = False) -> bool:
    """Whether a residual, or memory for the answer, lies as C reads it; `whole`: without pauses."""
    if other is None:
        return True
    return (
        type(other) is Tensor
        and other.dtype == x.dtype
        and other.device == x.device
        and other.shape == (*x.shape[:-1], len(_matrix(layer)[0]))
        and (other.is_contiguous() or not whole)
        and not _learns(other, ())
    )


def _is_ready(x: Tensor) -> bool:
    if x.device.type != "cpu" or x.dtype != torch.bfloat16 or type(x) is not Tensor:
        return False
    if torch.compiler.is_compiling():
        return False
    found = library()
    return found is not None and bool(found.has_linear())


def _is_plain(weight: Tensor) -> bool:
    return (
        weight.dtype in KINDS
        and weight.device.type == "cpu"
        and type(weight.data) is Tensor
        and weight.is_contiguous()
        and weight.shape[-1] % INPUTS == 0
        and weight.shape[-2] % OUTPUTS == 0
    )


def _learns(x: Tensor, weights: Any) -> bool:
    return torch.is_grad_enabled() and any(part.requires_grad for part in (x, *weights))


def _matrix(layer: Any) -> tuple[Tensor, Tensor | None]:
    """(N, K) weights, and the scales of codes."""
    packed = getattr(layer, "packed", None)
    return (layer.weight, None) if packed is None else (packed.codes, packed.scales)


def _pointer(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
