"""What a document's files say of its pages, beside their text."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from .characters import harmless
from .results import ReadPage

_ENDED = {
    "failed": "could not be read",
    "truncated": "is cut short",
    "repetition": "ends in a repetition",
}


def notice(page: ReadPage, is_one_of_several: bool) -> str:
    """A sentence about a page that was not read, or not to its end; "" for a good one."""
    ended = _ENDED.get(page.status)
    if ended is None:
        return ""
    name = f"Page {page.number}" if is_one_of_several else "The page"
    if page.number is None:
        name = "The document"
    reason = " ".join(harmless(page.reason).split())
    return f"{name} {ended}: {reason}" if reason else f"{name} {ended}"


def with_numbering(pages: Iterable[ReadPage]) -> Iterator[tuple[ReadPage, bool]]:
    """Each page, and whether its number is worth telling: all but a single first page's are."""
    upcoming = iter(pages)
    first = list(itertools.islice(upcoming, 2))
    several = len(first) > 1 or any((page.number or 1) > 1 for page in first)
    for page in itertools.chain(first, upcoming):
        yield page, several
