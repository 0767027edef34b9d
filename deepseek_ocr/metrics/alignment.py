"""Two texts side by side: where a prediction departs from the truth, and what nobody would see.

The places are those that the character error rate counts: one alignment of rapidfuzz. Marks for
HTML are made in `evaluation.report.differences`, plain ones here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rapidfuzz.distance import Levenshtein

UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\ufdd0-\ufdef\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff]"
)
"""Control, bidirectional, zero-width and other unseen characters, lone surrogates, noncharacters.

Joiners U+200C and U+200D are none of them: Persian and emoji are wrong without them.
"""

MISSED, INVENTED = ("[-", "-]"), ("{+", "+}")
"""Around what is missed or misread, and around what stands in its place; as `wdiff` writes them."""

KEPT = 24
"""Characters of a long agreement that stay at each of its ends."""


def code_point(character: str) -> str:
    """`U+202E` for the character of that number."""
    return f"U+{ord(character):04X}"


def aligned(truth: str, prediction: str) -> Iterator[tuple[str, str]]:
    """The texts cut into pairs (of the truth, of the prediction), alike or wholly different.

    Joined, each side is its text again.
    """
    for step in Levenshtein.opcodes(truth, prediction):
        yield truth[step.src_start : step.src_end], prediction[step.dest_start : step.dest_end]


def shown(text: str) -> str:
    """The text for a terminal or a log: what is unseen, or would command a terminal, as `<U+001B>`.

    Line ends and tabs stay.
    """
    return UNSEEN.sub(lambda match: f"<{code_point(match[0])}>", text)


def plain_differences(
    truth: str,
    prediction: str,
    *,
    longest: int = 600,
    missed: tuple[str, str] = MISSED,
    invented: tuple[str, str] = INVENTED,
) -> str:
    """One text in which `[-missed-]{+invented+}` stand where the two differ.

    What agrees at length is shortened; after `longest` characters, marks not counted, it ends in
    `…`. `missed` and `invented` are what stands before and after such a place.
    """
    pieces: list[str] = []
    left = longest
    for expected, found in aligned(truth, prediction):
        sides = (
            [(_shortened(expected), ("", ""))]
            if expected == found
            else [(shown(expected), missed), (shown(found), invented)]
        )
        for text, (begin, end) in sides:
            if text:
                pieces.append(f"{begin}{text[:left]}{end}")
            left -= len(text)
            if left < 0:
                return "".join(pieces) + "…"
    return "".join(pieces)


def capped(text: str, longest: int) -> str:
    """The text, or its first `longest` characters and `…`."""
    return text if len(text) <= longest else text[:longest] + "…"


def _shortened(text: str) -> str:
    if len(text) <= 3 * KEPT:
        return shown(text)
    return f"{shown(text[:KEPT])} … {shown(text[-KEPT:])}"
