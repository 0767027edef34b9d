"""One page's answer as the checks look at it: normalised text, tables, formulas, each made once.

Rules of github.com/allenai/olmocr, `olmocr/bench/tests.py` (as of 2026, Apache-2.0), written anew.
"""

from __future__ import annotations

import functools
import re
import unicodedata

from .grids import Grid, html_grids, markdown_grids

_MARKUP = (  # in this order; what stands between a pair stays
    (re.compile(r"<br/?>"), " "),
    (re.compile(r"\*\*(.*?)\*\*"), r"\1"),
    (re.compile(r"__(.*?)__"), r"\1"),
    (re.compile(r"</?[bi]>"), ""),
    (re.compile(r"(\*\*|__)(.*?)\1"), r"\2"),
    (re.compile(r"(\*|_)(.*?)\1"), r"\2"),
    (re.compile(r"\s+"), " "),
)
_PLAIN = str.maketrans("‘’‚“”„＿–—‑‒−µ", "'''" + '"""' + "_-----μ")
_DELIMITERS = ((r"\(", r"\)"), (r"\[", r"\]"))
_DOLLARS = (("$$", "$$"), ("$", "$"))


def normalized(text: str) -> str:
    """Without marks of bold and italics; white space as single blanks; NFC; plain quotes, dashes.

    Texts of checks and answers both pass through this.
    """
    for pattern, replacement in _MARKUP:
        text = pattern.sub(replacement, text)
    return unicodedata.normalize("NFC", text).translate(_PLAIN)


class Answer:
    """What one page was read as (Markdown)."""

    def __init__(self, markdown: str):
        self.markdown = markdown

    @functools.cached_property
    def text(self) -> str:
        """The answer, normalised."""
        return normalized(self.markdown)

    @functools.cached_property
    def markdown_tables(self) -> list[Grid]:
        """Tables made of lines with `|`, cells normalised."""
        return [grid.mapped(normalized) for grid in markdown_grids(self.markdown)]

    @functools.cached_property
    def html_tables(self) -> list[Grid]:
        """`<table>` elements, cells normalised."""
        return [grid.mapped(normalized) for grid in html_grids(self.markdown)]

    @functools.cached_property
    def formulas(self) -> list[str]:
        r"""What stands between `\(...\)`, `\[...\]`, `$$...$$` and `$...$`."""
        return _formulas(self.markdown, _DELIMITERS + _DOLLARS)

    @functools.cached_property
    def bracketed_formulas(self) -> list[str]:
        r"""What stands between `\(...\)` and `\[...\]` alone."""
        return _formulas(self.markdown, _DELIMITERS)


def _formulas(text: str, delimiters: tuple[tuple[str, str], ...]) -> list[str]:
    found = []
    for begin, end in delimiters:  # what one pair delimits is gone for the next
        inner, text = _cut_out(text, begin, end)
        found += [formula.strip() for formula in inner]
    return found


def _cut_out(text: str, begin: str, end: str) -> tuple[list[str], str]:
    """What stands between the delimiters (at least one character), and the text without it."""
    inner, rest, place = [], [], 0
    while (start := text.find(begin, place)) >= 0:
        stop = text.find(end, start + len(begin) + 1)
        if stop < 0:  # then no later one is closed either
            break
        inner.append(text[start + len(begin) : stop])
        rest.append(text[place:start])
        place = stop + len(end)
    return inner, "".join([*rest, text[place:]])
