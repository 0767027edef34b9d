"""Tokens to text as they come: a letter whose bytes lie in several tokens waits for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

CUT_SHORT = "\N{REPLACEMENT CHARACTER}"
"""What bytes that are no letter, or not yet, are decoded to."""


class TextPieces:
    """Turns a growing list of tokens into pieces of text that together are its text.

    Args:
        decode: ids to text; that of a list is that of its parts, where no letter is cut.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]):
        self._decode = decode
        self._held: list[int] = []

    def add(self, tokens: Sequence[int]) -> str:
        """The text that is sure with these tokens."""
        piece = ""
        for token in tokens:
            self._held.append(token)
            text = self._decode(self._held)
            if text and not text.endswith(CUT_SHORT):
                piece += text
                self._held = []
        return piece

    def rest(self) -> str:
        """What is left at the end, whole or not."""
        held, self._held = self._held, []
        return self._decode(held)
