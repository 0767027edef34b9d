"""Characters that a page cannot show, and that do harm where its text goes."""

from __future__ import annotations

import re

_LINE_ENDS = re.compile(r"\r\n?")
_HARMFUL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters: a terminal obeys them
    "\u202a-\u202e\u2066-\u2069"  # turn the direction of what follows: hides what a link says
    "\ufdd0-\ufdef\ufffe\uffff]"  # stand for no character at all; ours to mark places with
)
_HALF_PAIR = re.compile("[\ud800-\udfff]")


def harmless(text: str) -> str:
    """A text without control characters (newline and tab stay) and overrides of its direction.

    Half a surrogate pair, which no file can hold, becomes U+FFFD.
    """
    text = _HARMFUL.sub("", _LINE_ENDS.sub("\n", text))
    return _HALF_PAIR.sub("\N{REPLACEMENT CHARACTER}", text)
