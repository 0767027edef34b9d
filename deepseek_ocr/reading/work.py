"""What a job has to do with one document, and what of it is done."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from ..data.pages.sources import PageSource
from .config import ReadConfig
from .documents import HASH_DIGITS, Document, hashed_name
from .folder import JobFolder
from .identity import fingerprint, path_from, settings_digest
from .journal import Ended


@dataclasses.dataclass(eq=False, kw_only=True)
class Work:
    """A document in a job.

    `path`: of its file, as seen from the output folder. `name`: of its outputs. `num_pages` None:
    it has not been opened yet. `numbers`: the pages that are wanted, ascending. `fault`: why its
    files could not be written.
    """

    document: Document
    path: str
    name: str
    fingerprint: str
    num_pages: int | None = None
    numbers: Sequence[int] = ()
    fault: str = ""

    def has_opened(self, num_pages: int, config: ReadConfig) -> None:
        """It has so many pages."""
        self.num_pages, self.numbers = num_pages, wanted_pages(num_pages, config)

    def lease(self, part: int | str) -> str:
        """The name of the lease on a page, or on another part."""
        return f"{self.fingerprint} {part}"

    def missing(self, folder: JobFolder) -> Iterator[int]:
        """The wanted pages that have not ended, or are to be retried."""
        journal = folder.journal
        return (n for n in self.numbers if not journal.is_done(self.fingerprint, n))

    def has_ended(self, folder: JobFolder) -> bool:
        """Whether all its pages have."""
        if self.num_pages is None or not self.numbers:
            return folder.journal.is_done(self.fingerprint, None)
        ended = folder.journal.ended(self.fingerprint)
        return len(ended) >= len(self.numbers) and next(self.missing(folder), None) is None

    def ends(self, folder: JobFolder) -> Iterator[tuple[int | None, Ended]]:
        """How its wanted pages have ended, as far as they have."""
        ended = folder.journal.ended(self.fingerprint)
        if None in ended:
            yield None, ended[None]
        for number in self.numbers:
            if number in ended:
                yield number, ended[number]


def wanted_pages(num_pages: int, config: ReadConfig) -> Sequence[int]:
    """The numbers of the pages that are to be read of so many, ascending."""
    ranges = config.page_ranges
    return range(1, num_pages + 1) if ranges is None else ranges.within(num_pages)


def without_pages(document: Document, num_pages: int, config: ReadConfig) -> str:
    """Why none of a document's pages is read."""
    last = f"its pages are 1 to {num_pages}" if num_pages != 1 else "it has one page"
    return f"{document.source}: has no page {config.pages}; {last}"


def page_source(
    document: Document, number: int, config: ReadConfig, password: str | None
) -> PageSource:
    """A page of a document, to be opened."""
    return PageSource(
        path=document.path,
        page=number,
        name=document.source,
        password=password,
        rotation=config.rotation,
        dpi=config.dpi,
        max_pixels=config.max_pixels,
    )


def plan(config: ReadConfig, documents: Sequence[Document], folder: JobFolder) -> list[Work]:
    """Each document with what is known of it; nothing is written."""
    settings = settings_digest(config)
    works = []
    taken: set[str] = set()
    for document in documents:
        mark = fingerprint(document, folder.out, settings)
        owner = folder.catalogue.owner(document.name)
        here = path_from(folder.out, document)
        name = document.name if owner in (None, here) else marked_name(document)
        if name in taken:  # the same document, named twice
            continue
        taken.add(name)
        work = Work(document=document, path=here, name=name, fingerprint=mark)
        if (num_pages := folder.catalogue.num_pages(mark)) is not None:
            work.has_opened(num_pages, config)
        works.append(work)
    return works


def marked_name(document: Document) -> str:
    """The name of a document whose own is another's already: `~` and eight hex digits after it."""
    return hashed_name(document, HASH_DIGITS[0])
