"""Where answers depart from the truth, small enough to embed for thousands of rows.

The places are those that the character error rate counts. In the page an answer is stored as what
turns the truth into it, which is both a fraction of its size and the marks of its differences.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from rapidfuzz.distance import Levenshtein

LONGEST_CONFUSION = 3  # characters of either side; longer ones are no confusion but a loss

Confusions = Counter[tuple[str, str]]
"""(characters of the truth, of the answer) -> how often; one of the two may be empty."""


def changes(truth: str, answer: str) -> Iterator[tuple[int, str, str]]:
    """(characters alike before it, what the truth has, what the answer has instead), in order."""
    alike, missed, invented = 0, "", ""
    for step in Levenshtein.opcodes(truth, answer):
        expected = truth[step.src_start : step.src_end]
        found = answer[step.dest_start : step.dest_end]
        if step.tag == "equal":
            if missed or invented:
                yield alike, missed, invented
                alike, missed, invented = 0, "", ""
            alike += len(expected)
        else:
            missed, invented = missed + expected, invented + found
    if missed or invented:
        yield alike, missed, invented


def encoded(steps: Iterable[tuple[int, str, str]], truth: str) -> list[int | str]:
    """The changes as [alike, of the truth, "instead", alike, ...], lengths in UTF-16 units.

    JavaScript counts its strings in those.
    """
    flat: list[int | str] = []
    only_basic = not truth or max(truth) <= "\uffff"
    at = 0
    for alike, missed, invented in steps:
        if only_basic:
            flat += (alike, len(missed), invented)
        else:
            flat += (_units(truth[at : at + alike]), _units(missed), invented)
        at += alike + len(missed)
    return flat


def count_confusions(steps: Iterable[tuple[int, str, str]], into: Confusions) -> None:
    """Add the short changes, those that say how characters are misread."""
    for _, missed, invented in steps:
        if len(missed) <= LONGEST_CONFUSION and len(invented) <= LONGEST_CONFUSION:
            into[missed, invented] += 1


def _units(text: str) -> int:
    return len(text) + sum(character > "\uffff" for character in text)
