"""Where tokens stand and what they may look at, with padding on either side and with a cache.

Letters: B rows, N new positions, `past` positions in the cache, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor


def positions(attention_mask: Tensor | None, past: int, x: Tensor) -> Tensor:
    """(B, N) position of each new token, counted from the row's first real one."""
    length = x.shape[1]
    if attention_mask is None or attention_mask.ndim != 2:
        return torch.arange(past, past + length, device=x.device)[None].expand(len(x), -1)
    return (attention_mask.long().cumsum(-1) - 1).clamp(min=0)[:, -length:]


def real_tokens(attention_mask: Tensor | None, x: Tensor) -> Tensor:
    """(B, N) bool, False where a new position is padding."""
    if attention_mask is None or attention_mask.ndim != 2:
        return torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
    return attention_mask[:, -x.shape[1] :].bool()


def visibility(attention_mask: Tensor | None, past: int, x: Tensor) -> Tensor | None:
    """(B, 1, N, past + N) True where a new position may look; None: causal, nothing padded.

    A padding position sees itself, so that no row of the softmax is empty.
    """
    if attention_mask is not None and attention_mask.ndim == 4:
        return attention_mask
    new = x.shape[1]
    padded = attention_mask is not None and not bool(attention_mask.all())
    if not padded and (past == 0 or new == 1):
        return None
    keys = torch.arange(past + new, device=x.device)
    queries = keys[past:, None]
    visible = (keys <= queries).expand(len(x), 1, -1, -1)
    if padded:
        real = attention_mask[:, None, None, :].bool()  # type: ignore[index]
        visible = visible & (real | (keys == queries))
    return visible
