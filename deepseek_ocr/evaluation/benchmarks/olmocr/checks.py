"""The kinds of checks: each a fact about one page, and the rule that an answer passes or fails.

Rules of github.com/allenai/olmocr, `olmocr/bench/tests.py` (as of 2026, Apache-2.0), written anew.
`max_diffs` is how many characters a text may differ by.
"""

from __future__ import annotations

import dataclasses
import re
from abc import ABC, abstractmethod
from typing import Literal

from .answer import Answer, normalized
from .grids import Grid, Place

MAX_REPEATS = 30
"""Most times that an answer may end with the same few characters."""

# CJK ideographs, kana, emoji, flags: the benchmark's pages are English
_FOREIGN = re.compile(
    "[\u4e00-\u9fff\u3040-\u309f\u30a0-\u30ff"
    "\U0001f600-\U0001f64f\U0001f300-\U0001f5ff\U0001f680-\U0001f6ff\U0001f1e0-\U0001f1ff]"
)
_IMAGE = re.compile(r"!\[.*?\]\(.*?\)")
_SPACE = re.compile(r"\s+")
_SHOWN = 60  # characters of a text in a reason


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether a check passed; None: it could not be run. `reason` says why it did not pass."""

    passed: bool | None
    reason: str = ""


PASSED = Verdict(True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check(ABC):
    """A fact about one page: `pdf` as the data name it, `page` from 1, `category` its file."""

    id: str
    kind: str
    pdf: str
    page: int
    category: str
    max_diffs: int = 0

    @abstractmethod
    def run(self, answer: Answer) -> Verdict:
        """Whether the answer passes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OtherCheck(Check):
    """A check of a published kind whose rule is not part of this program: it is counted."""

    def run(self, answer: Answer) -> Verdict:
        """Not to be told here."""
        return Verdict(None, f"checks of kind {self.kind} are not part of this program")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PresenceCheck(Check):
    """A text stands in the answer (`present`) or does not (`absent`)."""

    text: str
    case_sensitive: bool = True
    first_n: int | None = None
    last_n: int | None = None

    def run(self, answer: Answer) -> Verdict:
        """A part of the answer is as like the text as `max_diffs` allows, or none is."""
        wanted, text = normalized(self.text), answer.text
        if not self.case_sensitive:
            wanted, text = wanted.lower(), text.lower()
        found = self._stands_in(wanted, self._searched(text))
        if found == (self.kind == "present"):
            return PASSED
        return Verdict(False, f"{_shown(self.text)} {'stands in' if found else 'is not in'} it")

    def _searched(self, text: str) -> str:
        if self.first_n and self.last_n:
            return text[: self.first_n] + text[-self.last_n :]
        if self.first_n:
            return text[: self.first_n]
        return text[-self.last_n :] if self.last_n else text

    def _stands_in(self, wanted: str, text: str) -> bool:
        # partial_ratio seeks the shorter in the longer: " " would be found in any sentence
        if len(text) < len(wanted) - self.max_diffs:
            return False
        from rapidfuzz import fuzz

        ratio = fuzz.partial_ratio(wanted, text) / 100
        return ratio >= 1 - self.max_diffs / len(wanted)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OrderCheck(Check):
    """One text stands before another."""

    before: str
    after: str

    def run(self, answer: Answer) -> Verdict:
        """Some place of the first text lies before some place of the second."""
        from fuzzysearch import find_near_matches

        starts = []
        for wanted in (self.before, self.after):
            near = find_near_matches(normalized(wanted), answer.text, max_l_dist=self.max_diffs)
            if not near:
                return Verdict(False, f"{_shown(wanted)} is not in it")
            starts.append([match.start for match in near])
        if min(starts[0]) < max(starts[1]):
            return PASSED
        return Verdict(False, f"{_shown(self.before)} does not stand before {_shown(self.after)}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableCheck(Check):
    """A table holds a cell, with certain neighbours and headings where they are named."""

    cell: str
    up: str = ""
    down: str = ""
    left: str = ""
    right: str = ""
    top_heading: str = ""
    left_heading: str = ""
    ignore_markdown_tables: bool = False

    def run(self, answer: Answer) -> Verdict:
        """One cell of one table is the one sought and has all that is named."""
        grids = [] if self.ignore_markdown_tables else answer.markdown_tables
        grids = grids + answer.html_tables
        if not grids:
            return Verdict(False, "there is no table")
        wanted, reason = normalized(self.cell), f"no cell is {_shown(self.cell)}"
        for grid in grids:
            for place, cell in grid.cells.items():
                if self._is_alike(wanted, cell.text):
                    missing = self._missing(grid, place)
                    if missing is None:
                        return PASSED
                    reason = f"{_shown(self.cell)} is a cell, but {missing}"
        return Verdict(False, reason)

    def _missing(self, grid: Grid, place: Place) -> str | None:
        """What a cell lacks of all that is named."""
        for side in ("up", "down", "left", "right"):
            text = getattr(self, side)
            if text and not self._holds(grid, grid.neighbours(place, side), text):
                return f"{_shown(text)} is not beside it ({side})"
        headings: tuple[tuple[Literal["up", "left"], str], ...]
        headings = (("left", self.left_heading), ("up", self.top_heading))
        for side, text in headings:
            if text and not self._holds(grid, grid.headings(place, side), text):
                return f"{_shown(text)} is not its heading ({side})"
        return None

    def _holds(self, grid: Grid, places: set[Place], text: str) -> bool:
        wanted = normalized(text)
        return any(self._is_alike(wanted, grid.cells[place].text) for place in places)

    def _is_alike(self, wanted: str, text: str) -> bool:
        from rapidfuzz import fuzz

        threshold = max(0.5, 1 - self.max_diffs / max(len(wanted), 1))
        return fuzz.ratio(wanted, text) / 100 >= threshold


@dataclasses.dataclass(frozen=True, kw_only=True)
class BaselineCheck(Check):
    """The answer is no wreck: it says something, does not loop and keeps to its alphabet.

    With `max_length` the page is blank, and the answer may have that many letters and digits.
    """

    max_length: int | None = None
    max_length_skips_image_alt_tags: bool = False
    max_repeats: int = MAX_REPEATS
    check_disallowed_characters: bool = True

    def run(self, answer: Answer) -> Verdict:
        """All of it, or the blank page's length alone."""
        text = answer.markdown
        if self.max_length is not None:
            if self.max_length_skips_image_alt_tags:
                text = _IMAGE.sub("", text)
            length = _num_alphanumeric(text)
            if length > self.max_length:
                return Verdict(False, f"{length} letters and digits; the page is blank")
            return PASSED
        if not _num_alphanumeric(text):
            return Verdict(False, "there is no letter and no digit")
        for size in range(1, 6):
            repeats = _repeats_at_end(_SPACE.sub(" ", text), size)
            if repeats > self.max_repeats:
                return Verdict(False, f"it ends with {repeats} times the same {size} characters")
        foreign = _FOREIGN.search(text) if self.check_disallowed_characters else None
        if foreign is not None:
            return Verdict(False, f"{foreign[0]!r} is none of the page's characters")
        return PASSED


@dataclasses.dataclass(frozen=True, kw_only=True)
class MathCheck(Check):
    """A formula (LaTeX) stands in the answer, or one that looks like it."""

    math: str
    ignore_dollar_delimited: bool = False

    def candidates(self, answer: Answer) -> list[str]:
        """The answer's formulas, as written."""
        return answer.bracketed_formulas if self.ignore_dollar_delimited else answer.formulas

    def run(self, answer: Answer) -> Verdict:
        """Not to be told without a browser; see `formulas.MathJudge`."""
        return Verdict(None, "formulas are compared as KaTeX draws them in a browser")


def _num_alphanumeric(text: str) -> int:
    return sum(map(str.isalnum, text))


def _repeats_at_end(text: str, size: int) -> int:
    """How many times the last `size` characters stand at the end, one after another."""
    last, count, place = text[-size:], 0, len(text) - size
    while place >= 0 and text[place : place + size] == last:
        count, place = count + 1, place - size
    return count


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "...")
