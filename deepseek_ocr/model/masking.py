"""Where tokens stand and what they may look at: padding on either side, a cache, packed rows.

Letters: B rows, N new positions, `past` positions in the cache, D width, S samples of the batch.
`segment_ids` (B, N) number the samples that lie end to end in a row 1, 2, ...; 0 is padding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Spans:
    """Runs (row, start, stop) of positions that see themselves causally, and nothing else.

    Row by row and left to right they cover the batch.
    """

    spans: tuple[tuple[int, int, int], ...]


Visible = Tensor | Spans | None
"""What positions may look at: (B, 1, N, M) True where they may; None: all that came before."""


def positions(attention_mask: Tensor | None, past: int, x: Tensor) -> Tensor:
    """(B, N) position of each new token, counted from the row's first real one."""
    length = x.shape[1]
    if attention_mask is None or attention_mask.ndim != 2:
        return torch.arange(past, past + length, device=x.device)[None].expand(len(x), -1)
    return (attention_mask.long().cumsum(-1) - 1).clamp(min=0)[:, -length:]


def visibility(
    attention_mask: Tensor | None, past: int, x: Tensor, num_keys: int | None = None
) -> Tensor | None:
    """(B, 1, N, num_keys) True where a new position may look; None: all that came before.

    `num_keys` is what the cache gives back, past + N or, for a static cache, all its places; those
    not yet filled are hidden. A padding position sees itself, so that no softmax is empty.
    """
    if attention_mask is not None and attention_mask.ndim == 4:
        return attention_mask
    new = x.shape[1]
    num_keys = num_keys or past + new
    padded = attention_mask is not None and not bool(attention_mask.all())
    if num_keys == past + new:
        if not padded and (past == 0 or new == 1):
            return None
        if past == 0 and padded_on_the_right(attention_mask):  # type: ignore[arg-type]
            return None
    keys = torch.arange(num_keys, device=x.device)
    queries = keys[past : past + new, None]
    visible = (keys <= queries).expand(len(x), 1, -1, -1)
    if padded:
        real = F.pad(attention_mask.bool(), (0, num_keys - past - new))  # type: ignore[union-attr]
        visible = visible & (real[:, None, None, :] | (keys == queries))
    return visible


def padded_on_the_right(attention_mask: Tensor) -> bool:
    """Whether no padding stands before a real token, so that none sees any of it anyway."""
    return bool((attention_mask[:, 1:] <= attention_mask[:, :-1]).all())


def segment_positions(segment_ids: Tensor) -> Tensor:
    """(B, N) position of each token in its own segment, from 0."""
    places = torch.arange(segment_ids.shape[1], device=segment_ids.device).expand_as(segment_ids)
    starts = torch.ones_like(segment_ids, dtype=torch.bool)
    starts[:, 1:] = segment_ids[:, 1:] != segment_ids[:, :-1]
    return places - (places * starts).cummax(-1).values


def segment_spans(segment_ids: Tensor) -> Spans:
    """A span for each segment, and for each stretch of padding."""
    ends = torch.ones_like(segment_ids, dtype=torch.bool)
    ends[:, :-1] = segment_ids[:, 1:] != segment_ids[:, :-1]
    spans, start = [], 0
    for row, last in ends.nonzero().tolist():
        spans.append((row, start, last + 1))
        start = (last + 1) % segment_ids.shape[1]
    return Spans(tuple(spans))


def sample_members(attention_mask: Tensor | None, segment_ids: Tensor | None, x: Tensor) -> Tensor:
    """(S, B * N), True where a token belongs to a sample: S = B rows, or their segments.

    Padding belongs to none. Rows with fewer segments than others have empty samples.
    """
    most = 1
    if segment_ids is not None:
        within, most = segment_ids, max(int(segment_ids.max()), 1)
    elif attention_mask is None or attention_mask.ndim != 2:
        within = torch.ones(x.shape[:2], dtype=torch.long, device=x.device)
    else:
        within = attention_mask[:, -x.shape[1] :].long()
    rows = torch.arange(len(within), device=within.device)[:, None]
    numbers = torch.where(within > 0, rows * most + within, 0).flatten()  # from 1; 0: padding
    samples = torch.arange(1, len(within) * most + 1, device=within.device)
    return numbers == samples[:, None]
