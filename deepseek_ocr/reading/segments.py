r"""An answer's Markdown taken apart: fenced code, HTML tables, formulas, and the text between.

What a writer must treat in a way of its own is found here once, in one pass whose time grows with
the length alone. A fence or a table that nothing closes reaches to the end; a formula that nothing
closes, an inline one in its paragraph, is text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

SegmentKind = Literal["text", "code", "table", "formula", "display"]

_OPENS = re.compile(
    r"""^[ ]{0,3}(?P<fence>`{3,}+(?=[^`\n]*+$)|~{3,}+)(?P<language>[^\n]*+)(?:\n|\Z)
    | \\\\                       # a backslash, or the end of a line in a formula: opens nothing
    | (?P<table><table\b)
    | (?P<mark>\\\(|\\\[|\$\$|\$)""",
    re.MULTILINE | re.VERBOSE | re.IGNORECASE,
)
_TABLE_TAG = re.compile(r"<(/?)table\b[^<>]*>?", re.IGNORECASE)
_CLOSES = {r"\(": r"\)", r"\[": r"\]", "$$": "$$", "$": "$"}
_DISPLAY = (r"\[", "$$")
_LANGUAGE = re.compile(r"[A-Za-z0-9+#_.-]{1,30}")


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of an answer: `content` without the marks around it, but a table as HTML.

    `detail` is the language of code, or the opening mark of a formula.
    """

    kind: SegmentKind
    content: str
    detail: str = ""


def segments(text: str) -> Iterator[Segment]:
    """The pieces of a text in their order; together they hold all of it."""
    scan = _Scan(text)
    begin = place = 0
    while opening := _OPENS.search(text, place):
        found = scan.closed(opening)
        if found is None:
            place = opening.end()
            continue
        segment, end = found
        if opening.start() > begin:
            yield Segment("text", text[begin : opening.start()])
        yield segment
        begin = place = end
    if begin < len(text):
        yield Segment("text", text[begin:])


class _Scan:
    """The ends of what opens in a text."""

    def __init__(self, text: str):
        self.text = text
        self._none_before: dict[str, int] = {}  # closing mark -> up to where there is none
        self._paragraph_end = -1

    def closed(self, opening: re.Match[str]) -> tuple[Segment, int] | None:
        """The segment that opens there, and where it ends; None if it is text."""
        if opening["fence"]:
            return self._code(opening)
        if opening["table"]:
            end = self._table_end(opening.start())
            return Segment("table", self.text[opening.start() : end]), end
        if opening["mark"] == "$":
            return self._dollars(opening.end())
        return self._formula(opening["mark"], opening.end()) if opening["mark"] else None

    def _code(self, opening: re.Match[str]) -> tuple[Segment, int]:
        begin = opening.end()
        mark, length = opening["fence"][0], len(opening["fence"])
        fence = re.compile(rf"^ {{0,3}}{mark}{{{length},}}[ \t]*$", re.MULTILINE)
        close = fence.search(self.text, begin)
        content = self.text[begin : close.start() if close else len(self.text)]
        language = _LANGUAGE.match(opening["language"].strip())
        segment = Segment("code", content.removesuffix("\n"), language[0] if language else "")
        return segment, close.end() if close else len(self.text)

    def _table_end(self, begin: int) -> int:
        depth = 0
        for tag in _TABLE_TAG.finditer(self.text, begin):
            depth += -1 if tag[1] else 1
            if depth == 0:
                return tag.end()
        return len(self.text)

    def _formula(self, mark: str, begin: int) -> tuple[Segment, int] | None:
        close, is_display = _CLOSES[mark], mark in _DISPLAY
        if begin < self._none_before.get(close, 0):
            return None
        limit = len(self.text) if is_display else self._end_of_paragraph(begin)
        end = self.text.find(close, begin, limit)
        if end < 0:
            self._none_before[close] = limit
            return None
        content = self.text[begin:end].strip()
        return Segment("display" if is_display else "formula", content, mark), end + len(close)

    def _end_of_paragraph(self, begin: int) -> int:
        if self._paragraph_end < begin:
            end = self.text.find("\n\n", begin)
            self._paragraph_end = end if end >= 0 else len(self.text)
        return self._paragraph_end

    def _dollars(self, begin: int) -> tuple[Segment, int] | None:
        """`$x$` by pandoc's rule, so that prices stay prices: no blank inside at either end, no
        digit behind, all on one line."""
        text, end = self.text, self.text.find("$", begin)
        if end <= begin or text[begin].isspace() or text[end - 1].isspace():
            return None
        if text[end + 1 : end + 2].isdigit() or "\n" in text[begin:end]:
            return None
        return Segment("formula", text[begin:end], "$"), end + 1
