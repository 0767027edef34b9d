"""Two texts -> HTML in which the characters that differ are marked; safe for any text.

The marked characters are those that the character error rate counts: one alignment of rapidfuzz.
"""

from __future__ import annotations

import html
import re

from rapidfuzz.distance import Levenshtein

# Control, bidirectional, zero-width and other unseen characters, lone surrogates, noncharacters.
# (Joiners U+200C and U+200D stay: Persian and emoji are wrong without them.)
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\ufdd0-\ufdef\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff]"
)


def plain(text: str) -> str:
    """`text` for an HTML attribute or a title: escaped, unseen characters as `U+202E`."""
    return html.escape(_UNSEEN.sub(lambda match: _code_point(match[0]), text))


def visible(text: str) -> str:
    """`text` as HTML content: escaped, unseen characters as small boxes with their code point."""
    return _UNSEEN.sub(
        lambda match: f'<span class="unseen">{_code_point(match[0])}</span>', html.escape(text)
    )


def _code_point(character: str) -> str:
    return f"U+{ord(character):04X}"


def mark_differences(truth: str, prediction: str) -> tuple[str, str]:
    """(truth, prediction) as HTML: `<del>` is missed or misread, `<ins>` is wrong or invented."""
    truth_parts, prediction_parts = [], []
    for step in Levenshtein.opcodes(truth, prediction):
        expected = truth[step.src_start : step.src_end]
        found = prediction[step.dest_start : step.dest_end]
        if step.tag == "equal":
            truth_parts.append(visible(expected))
            prediction_parts.append(visible(found))
        else:
            truth_parts.append(_marked("del", expected))
            prediction_parts.append(_marked("ins", found))
    return "".join(truth_parts), "".join(prediction_parts)


def _marked(tag: str, text: str) -> str:
    """The text in an element of its own, its line ends made visible; nothing for no text."""
    shown = visible(text).replace("\n", '<span class="newline"></span>\n')
    return f"<{tag}>{shown}</{tag}>" if text else ""
