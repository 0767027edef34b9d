"""The attention of the encoders, and that of a prompt, in C: see `attention.c`.

Letters: B views, h, w grid sides, H heads, d width of a head. Nothing learns through it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from .library import AttentionCall, library

LANES = 16
"""The width of a head is a multiple of so many numbers, or C does not take it."""
MOST_WIDTH = 512
"""As `MOST_WIDTH` in `attention.c`."""


def attends(head_width: int, *tensors: Tensor) -> bool:
    """Whether C takes such queries, keys and values, on this machine."""
    if head_width % LANES or not 0 < head_width <= MOST_WIDTH:
        return False
    for x in tensors:  # a cache may have another format than what autocast makes
        if type(x) is not Tensor or x.device.type != "cpu" or x.dtype != torch.bfloat16:
            return False
        if not x.numel():
            return False
    found = library()
    return found is not None and bool(found.has_attention())


def attend_views(
    qkv: Tensor,
    window: Sequence[int],
    nothing: Tensor | None = None,
    tables: Sequence[Tensor] | None = None,
) -> Tensor:
    """Queries over the keys of their windows; scores are scaled by d ** -0.5.

    Args:
        qkv: (B, h, w, 3, H, d) queries, keys and values, in bfloat16.
        window: rows and columns of a window.
        nothing: (3, H, d), of places beyond the view, which fill up the last windows; None where
            windows fill the view.
        tables: of relative positions, (2 * rows - 1, d) and (2 * columns - 1, d); None: without.

    Returns:
        (B, h, w, H * d), in bfloat16.
    """
    views, height, width, _, heads, head_width = qkv.shape
    qkv = qkv.contiguous()
    q, k, v = qkv.unbind(3)
    out = qkv.new_empty(views, height, width, heads * head_width)
    rest = [None, None, None] if nothing is None else nothing.to(torch.bfloat16).contiguous()
    by_row, by_column = (
        (table.to(torch.bfloat16).contiguous() for table in tables) if tables else (None, None)
    )
    token = 3 * heads * head_width
    call = AttentionCall(
        **_pointers(q=q, k=k, v=v, no_key=rest[1], no_value=rest[2]),
        **_pointers(by_row=by_row, by_column=by_column, out=out),
        views=views,
        height=height,
        width=width,
        heads=heads,
        head_width=head_width,
        rows=window[0],
        columns=window[1],
        group=1,
        q_view=height * width * token,
        q_token=token,
        q_head=head_width,
        k_view=height * width * token,
        k_token=token,
        k_head=head_width,
        scale=head_width**-0.5,
    )
    _run(call)
    return out


def attend_text(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """The last n tokens of a text over all of it; none looks at what follows it.

    Args:
        q: (H, n, d).
        k, v: (heads, length, d), alike in memory, H a multiple of `heads`; numbers of a key lie
            side by side.

    Returns:
        (n, H * d), in bfloat16.
    """
    heads, count, head_width = q.shape
    length = k.shape[1]
    if q.stride(2) != 1:
        q = q.contiguous()
    if k.stride() != v.stride() or k.stride(2) != 1:
        k, v = k.contiguous(), v.contiguous()
    out = q.new_empty(count, heads * head_width)
    call = AttentionCall(
        **_pointers(q=q, k=k, v=v, out=out),
        views=1,
        height=1,
        width=length,
        heads=heads,
        head_width=head_width,
        rows=1,
        columns=length,
        queries=count,
        past=length - count,
        group=heads // len(k),
        q_token=q.stride(1),
        q_head=q.stride(0),
        k_token=k.stride(1),
        k_head=k.stride(0),
        scale=scale,
    )
    _run(call)
    return out


def _pointers(**tensors: Tensor | None) -> dict[str, int | None]:
    return {name: None if tensor is None else tensor.data_ptr() for name, tensor in tensors.items()}


def _run(call: AttentionCall) -> None:
    found = library()
    assert found is not None
    threads = torch.get_num_threads()
    num_bytes = found.attention_bytes(ctypes.byref(call), threads)
    room = torch.empty(num_bytes, dtype=torch.uint8)
    found.attention(ctypes.byref(call), room.data_ptr(), threads)
