"""What is wrong with a dataset, as values: collected, counted and listed, never dropped."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator

from .checking.spool import Spool

LONGEST_REASON = 600  # characters
SHOWN = 20  # problems of each kind, on a terminal


@dataclasses.dataclass(frozen=True, kw_only=True, order=True, slots=True)
class Problem:
    """Why something in a dataset cannot be used.

    `source` is `file:line`, or the file where it has no lines; `kind` a few words that group
    problems of one sort; `reason` what was found and what to do. `of_row` is false for a file that
    belongs to no row, such as a picture without annotation. `sample` is the same for all problems
    of one sample that is lost by them; "" where `source` tells it.
    """

    kind: str
    source: str
    reason: str
    of_row: bool = True
    sample: str = dataclasses.field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"


class CutShort(Problem):
    """A problem after which nothing more of its file could be read."""

    __slots__ = ()


class Problems:
    """All problems of a dataset, in the order they were found: on disk, however many they are.

    `num_in_rows` counts those of rows, the others belong to files in no row.
    """

    def __init__(self, problems: Iterable[Problem] = ()) -> None:
        self._spool: Spool[Problem] = Spool(dataclasses.astuple, _unpacked)
        self.num_in_rows = 0
        self.extend(problems)

    def append(self, problem: Problem) -> None:
        """Add one problem; what a row holds may be quoted in a reason, but not megabytes of it."""
        if len(problem.reason) > LONGEST_REASON:
            reason = f"{problem.reason[: LONGEST_REASON // 2]} ... {problem.reason[-100:]}"
            problem = dataclasses.replace(problem, reason=reason)
        self._spool.append(problem)
        self.num_in_rows += problem.of_row

    def extend(self, problems: Iterable[Problem]) -> None:
        """Add several."""
        for problem in problems:
            self.append(problem)

    def __len__(self) -> int:
        return len(self._spool)

    def __iter__(self) -> Iterator[Problem]:
        return iter(self._spool)

    def close(self) -> None:
        """Give the disk space back."""
        self._spool.close()


def _unpacked(values: list) -> Problem:
    kind, source, reason, of_row, sample = values
    return Problem(kind=kind, source=source, reason=reason, of_row=of_row, sample=sample)


def without_annotation(picture: str, reason: str) -> Problem:
    """The problem of a picture that belongs to no row."""
    kind = "picture without annotation"
    return Problem(kind=kind, source=picture, reason=reason, of_row=False)


def listing(problems: Iterable[Problem], all_at: str, shown: int = SHOWN) -> Iterator[str]:
    """Lines for people: each kind with its count, then its first `shown` problems.

    `all_at` is a file or a command that tells all, named where some are left out.
    """
    counts: Counter[str] = Counter()
    first: dict[str, list[str]] = {}
    for problem in problems:
        counts[problem.kind] += 1
        if counts[problem.kind] <= shown:
            first.setdefault(problem.kind, []).append(printable(str(problem)))
    for kind, lines in first.items():
        yield f"{kind}: {counts[kind]}"
        yield from (f"  {line}" for line in lines)
        if counts[kind] > shown:
            yield f"  ... and {counts[kind] - shown} more"
    if any(number > shown for number in counts.values()):
        yield f"all of them: {printable(all_at)}"


def printable(text: str) -> str:
    """One line that a terminal shows as it is: names and texts of others may hold control codes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
