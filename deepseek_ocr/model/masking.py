"""Where tokens stand and what they may look at, with padding on either side and with a cache.

Letters: B rows, N new positions, `past` positions in the cache, D width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
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


def visibility(
    attention_mask: Tensor | None, past: int, x: Tensor, num_keys: int | None = None
) -> Tensor | None:
    """(B, 1, N, num_keys) True where a new position may look; None: causal, nothing padded.

    `num_keys` is what the cache gives back, past + N or, for a static cache, all its places; those
    not yet filled are hidden. A padding position sees itself, so that no softmax is empty.
    """
    if attention_mask is not None and attention_mask.ndim == 4:
        return attention_mask
    new = x.shape[1]
    num_keys = num_keys or past + new
    padded = attention_mask is not None and not bool(attention_mask.all())
    if not padded and num_keys == past + new and (past == 0 or new == 1):
        return None
    keys = torch.arange(num_keys, device=x.device)
    queries = keys[past : past + new, None]
    visible = (keys <= queries).expand(len(x), 1, -1, -1)
    if padded:
        real = F.pad(attention_mask.bool(), (0, num_keys - past - new))  # type: ignore[union-attr]
        visible = visible & (real[:, None, None, :] | (keys == queries))
    return visible
