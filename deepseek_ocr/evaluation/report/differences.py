"""Two texts -> HTML in which the characters that differ are marked; safe for any text.

The marked characters are those that the character error rate counts (`edits`).
"""

from __future__ import annotations

import html

from ...metrics.alignment import UNSEEN, code_point
from .edits import changes


def plain(text: str) -> str:
    """`text` for an HTML attribute or a title: escaped, unseen characters as `U+202E`."""
    return html.escape(UNSEEN.sub(lambda match: code_point(match[0]), text))


def visible(text: str) -> str:
    """`text` as HTML content: escaped, unseen characters as small boxes with their code point."""
    return UNSEEN.sub(
        lambda match: f'<span class="unseen">{code_point(match[0])}</span>', html.escape(text)
    )


def mark_differences(truth: str, prediction: str) -> tuple[str, str]:
    """(truth, prediction) as HTML: `<del>` is missed or misread, `<ins>` is wrong or invented."""
    truth_parts: list[str] = []
    prediction_parts: list[str] = []
    at = 0
    for alike, missed, invented in changes(truth, prediction):
        same = visible(truth[at : at + alike])
        truth_parts += (same, _marked("del", missed))
        prediction_parts += (same, _marked("ins", invented))
        at += alike + len(missed)
    rest = visible(truth[at:])
    return "".join((*truth_parts, rest)), "".join((*prediction_parts, rest))


def _marked(tag: str, text: str) -> str:
    """The text in an element of its own, its line ends made visible; nothing for no text."""
    shown = visible(text).replace("\n", '<span class="newline"></span>\n')
    return f"<{tag}>{shown}</{tag}>" if text else ""
