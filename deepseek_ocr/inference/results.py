"""What reading one page gave, and how the decoding ended."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

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
    """The answer for one request; `status` says how decoding ended and never flatters.

    `truncated`: no end token within the budget; `repetition`: a loop without end; `failed`: no
    answer at all, `reason` says why. `text` is the raw answer. `num_image_tokens` are the positions
    that the pictures took, `seconds` the share of the batch's time. `attempts` are listed where a
    page may be asked again; this answer need not be the last one's, `prompt` is its own.

    Of a request with one picture, `width` and `height` are the page's in pixels as it was read,
    `turned` by so many degrees clockwise, and `mode` how it was seen. Where documents are read
    (`reading.reader`), `source` is the document's path, `page` the page's number (None: the
    document, which could not be opened), `markdown` what the answer says, and `regions` (label,
    box, text) have their boxes (x1, y1, x2, y2) in those pixels.
    """

    text: str
    status: Status
    prompt: str
    reason: str = ""
    num_tokens: int = 0
    num_image_tokens: int = 0
    seconds: float = 0.0
    attempts: tuple[Attempt, ...] = ()
    width: int = 0
    height: int = 0
    turned: int = 0
    mode: str = ""
    source: str = ""
    page: int | None = None
    markdown: str = ""
    regions: tuple[Any, ...] = ()
