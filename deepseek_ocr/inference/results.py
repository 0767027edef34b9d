"""What reading one page gave, and how the decoding ended."""

from __future__ import annotations

import dataclasses
from typing import Literal

Status = Literal["ok", "empty", "failed", "truncated", "repetition"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PageResult:
    """The raw answer for one request; `status` says how decoding ended and never flatters.

    `truncated`: no end token within the budget; `repetition`: a loop without end; `failed`: no
    answer at all, `reason` says why. `num_image_tokens` are the positions that the pictures took,
    `seconds` the share of the batch's time.
    """

    text: str
    status: Status
    prompt: str
    reason: str = ""
    num_tokens: int = 0
    num_image_tokens: int = 0
    seconds: float = 0.0
