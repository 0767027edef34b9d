r"""Texts and formulas as they are compared: what does not count is taken away.

The rules are those of OmniDocBench v1.5. Of a text, inline formulas become Unicode, then letters,
digits and `_` alone remain, upper and lower case apart; of a formula, styles, blanks and
environments go, and case does not count. As published, the strings `/t`, `/n`, `\t` and `\n`
vanish, too, so that "and/not" loses letters, on both sides.

Texts come from a model: nothing here takes more than linear time, or raises.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping

MAX_FORMULA = 20_000
"""Characters of a formula that are looked at."""

MAX_INLINE = 2_000
"""Characters of an inline formula that is written in Unicode; a longer one stays as it is."""

MAX_DEPTH = 30
"""Braces and environments within each other in such a formula."""

INLINE = {"$": "$", r"\(": r"\)"}
"""What opens an inline formula and what closes it."""

_NO_LETTER = re.compile(r"[^\w\u4e00-\u9fff]")
_ARGUMENTS = re.compile(r"\\(?:tag|hspace|begin|end)\{[^}\n]*\}|\\arraycolsep[^}\n]*\}")
_DISPLAY = re.compile(r"\\\[(.+?)(?<!\\)\\\]")

# In the published order: what one leaves is seen by the next.
_DROPPED = ("\\t", "\\n", "\t", "\n", "/t", "/n")
_STYLE_NAMES = r"""
\mathbf \mathrm \mathnormal \mathit \mathbb \mathcal \mathscr \mathfrak \mathsf \mathtt \textbf
\text \boldmath \boldsymbol \operatorname \bm \symbfit \mathbfcal \symbf \scriptscriptstyle \notag
\setlength \coloneqq \space \thickspace \thinspace \medspace \nobreakspace \negmedspace \quad \qquad
\enspace \substackw
"""
_STYLES = (*_STYLE_NAMES.split(), " ", "$$", r"\left", r"\right", r"\displaystyle", r"\text")


def clean_text(text: str) -> str:
    """The letters and digits of a text, its inline formulas written in Unicode."""
    text = formulas_as_unicode(text)
    for dropped in _DROPPED:
        text = text.replace(dropped, "")
    return _NO_LETTER.sub("", text)


def clean_formula(latex: str) -> str:
    """A formula without delimiters, styles, environments and blanks, in lower case."""
    text = latex[:MAX_FORMULA].strip().strip("$").strip("\n")
    if display := _DISPLAY.search(text):
        text = display[1].strip()
    text = _ARGUMENTS.sub("", text).strip(".")
    for style in _STYLES:
        text = text.replace(style, "")
    return text.lower()


def formulas_as_unicode(text: str) -> str:
    r"""The text with its inline formulas in Unicode, `$x_1 \le y$` as `x_1 ≤ y`.

    Those without a command, an index or an exponent stay as they are, `$5 and $6` among them.
    """
    pieces, end = [], 0
    for start, stop, formula in _formulas_of_lines(text):
        formula = re.sub(r"\\([\\_&%^])", "", formula)
        if any(character in formula for character in r"\^_"):
            written = latex_to_text(formula)
            if written is not None:
                pieces += [text[end:start], written.strip()]
                end = stop
    return "".join([*pieces, text[end:]])


def latex_to_text(latex: str) -> str | None:
    """LaTeX in plain Unicode; None where it is too long, too deep or cannot be read."""
    if len(latex) > MAX_INLINE or _depth(latex) > MAX_DEPTH:
        return None
    from pylatexenc.latex2text import LatexNodes2Text

    logging.getLogger("pylatexenc").setLevel(logging.ERROR)  # it warns of every unknown macro
    try:
        return LatexNodes2Text().latex_to_text(latex + " " if latex.endswith("\\") else latex)
    except Exception:  # noqa: BLE001  a parser of others, fed with what a model wrote
        return None


def _depth(latex: str) -> int:
    depth = deepest = 0
    for mark in re.finditer(r"\{|\}|\\(?:begin|left|end|right)\b", latex):
        depth += 1 if mark[0] in ("{", r"\begin", r"\left") else -1
        deepest = max(deepest, depth)
    return deepest


def _formulas_of_lines(text: str) -> Iterator[tuple[int, int, str]]:
    offset = 0
    for line in text.split("\n"):
        for start, stop, content in delimited(line, INLINE):
            yield offset + start, offset + stop, content
        offset += len(line) + 1


def delimited(text: str, closing: Mapping[str, str]) -> Iterator[tuple[int, int, str]]:
    """Start, end and content of every part between an opening mark and its closing mark.

    Of the marks that begin in one place the first of `closing` counts; a mark that nothing closes
    is passed over. Linear in the length of the text.
    """
    marks = re.compile("|".join(map(re.escape, closing)))
    unclosed: set[str] = set()  # from here on: no need to search for their end again
    place = 0
    while mark := marks.search(text, place):
        end = mark.end()
        stop = -1 if mark[0] in unclosed else text.find(closing[mark[0]], end)
        if stop < 0:
            unclosed.add(mark[0])
            place = end
        else:
            place = stop + len(closing[mark[0]])
            yield mark.start(), place, text[end:stop]
