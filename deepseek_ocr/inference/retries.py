"""How a page that ended in a repetition is asked again: `--retries N`.

What is most likely to help comes first. Another mode shows other pixels and gives another number of
image tokens, so the answer takes another way, with nothing left to chance. The other prompt for a
whole page comes next, as its answer has another form. Then the first question again, with tokens
that are drawn, a little more evenly each time (as olmOCR, `TEMPERATURE_BY_ATTEMPT` of its
`pipeline.py`): it breaks most loops, and reads worst.
"""

from __future__ import annotations

from ..model.processing import PROMPTS
from .prompts import Retry

WITHOUT_TILES = ("tiny", "small", "base", "large")
OTHER_PROMPT = {
    PROMPTS["markdown"]: PROMPTS["text"],
    PROMPTS["text"]: PROMPTS["markdown"],
    PROMPTS["ocr"]: PROMPTS["text"],
}
"""Of the published prompts for a whole page. Any other asks for what none of them answers."""

TEMPERATURES = (0.2, 0.4, 0.6, 0.8)
"""Of the retries that draw; the last one goes on."""


def retries_for(
    count: int, *, mode: str | None = None, prompt: str | None = None
) -> tuple[Retry, ...]:
    """The first `count` ways to ask a page again; `OcrEngine` takes one after the other.

    Args:
        mode, prompt: of the first attempt, where they are known; None: of a mode with tiles, and
            of a prompt to which there is no other.

    Raises:
        ValueError: `count` is negative.
    """
    if count < 0:
        raise ValueError(f"retries must be at least 0, got {count}")
    ways = [Retry(mode="gundam" if mode in WITHOUT_TILES else "base")]
    if other := OTHER_PROMPT.get(prompt or ""):
        ways.append(Retry(prompt=other))
    ways += [Retry(temperature=temperature) for temperature in TEMPERATURES]
    ways += [ways[-1]] * (count - len(ways))
    return tuple(ways[:count])
