"""What is wrong with a dataset, as values: collected, counted and listed, never dropped."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator


@dataclasses.dataclass(frozen=True, kw_only=True, order=True, slots=True)
class Problem:
    """Why something in a dataset cannot be used.

    `source` is `file:line`, or the file where it has no lines; `kind` a few words that group
    problems of one sort; `reason` what was found and what to do. `of_row` is false for a file that
    belongs to no row, such as a picture without annotation.
    """

    kind: str
    source: str
    reason: str
    of_row: bool = True

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"


class CutShort(Problem):
    """A problem after which nothing more of its file could be read."""

    __slots__ = ()


def without_annotation(picture: str, reason: str) -> Problem:
    """The problem of a picture that belongs to no row."""
    kind = "picture without annotation"
    return Problem(kind=kind, source=picture, reason=reason, of_row=False)


def listing(problems: Iterable[Problem], shown: int = 20) -> Iterator[str]:
    """Lines for people: each kind with its count, then its first `shown` problems."""
    kinds: dict[str, list[Problem]] = {}
    for problem in problems:
        kinds.setdefault(problem.kind, []).append(problem)
    for kind, group in kinds.items():
        yield f"{kind}: {len(group)}"
        for problem in group[:shown]:
            yield f"  {printable(str(problem))}"
        if len(group) > shown:
            yield f"  ... and {len(group) - shown} more"


def printable(text: str) -> str:
    """One line that a terminal shows as it is: names and texts of others may hold control codes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
