"""What became of the pages of a job, counted."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

from .journal import Ended
from .results import BAD


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tally:
    """What became of the pages of a job. `bad`: the first of those that did not end well."""

    num_documents: int
    statuses: Counter[str]
    bad: Sequence[tuple[str, int | None, Ended]]
    num_bad: int
    faults: Sequence[tuple[str, str]] = ()
    """Documents whose pages were read and whose files could not be written, with reasons."""
    num_read: int = 0
    """Pages, and documents that could not be opened, that this process ended."""

    @property
    def num_pages(self) -> int:
        """Pages that have ended; a document that cannot be opened counts as one."""
        return self.statuses.total()


class Counting:
    """Counts how pages end, and keeps the first `num_shown` that did not end well."""

    def __init__(self, num_shown: int):
        self.num_shown = num_shown
        self.statuses: Counter[str] = Counter()
        self.bad: list[tuple[str, int | None, Ended]] = []
        self.num_bad = 0

    def add(self, source: str, number: int | None, end: Ended) -> None:
        """A page of the document `source` ended so."""
        self.statuses[end.status] += 1
        if end.status in BAD:
            self.num_bad += 1
            if len(self.bad) < self.num_shown:
                self.bad.append((source, number, end))

    def tally(self, num_documents: int) -> Tally:
        """All that was counted."""
        return Tally(
            num_documents=num_documents,
            statuses=self.statuses,
            bad=self.bad,
            num_bad=self.num_bad,
        )
