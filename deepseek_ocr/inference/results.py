"""What reading one page gave, and how the decoding ended."""

from __future__ import annotations

import dataclasses
from typing import Literal

Status = Literal["ok", "empty", "failed", "truncated", "repetition"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attempt:
    """One try at a page: how it was asked, and how its decoding ended.

    `mode` None: the engine's; `temperature` 0: the most likely token always.
    """

    prompt: str
    status: Status
    reason: str = ""
    mode: str | None = None
    temperature: float = 0.0
    num_tokens: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class PageResult:
    """The raw answer for one request; `status` says how decoding ended and never flatters.

    `truncated`: no end token within the budget; `repetition`: a loop without end; `failed`: no
    answer at all, `reason` says why. `num_image_tokens` are the positions that the pictures took,
    `seconds` the share of the batch's time. `attempts` are listed where a page may be asked again;
    this answer need not be the last one's, `prompt` is its own.
    """

    text: str
    status: Status
    prompt: str
    reason: str = ""
    num_tokens: int = 0
    num_image_tokens: int = 0
    seconds: float = 0.0
    attempts: tuple[Attempt, ...] = ()
