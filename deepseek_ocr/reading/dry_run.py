"""What a job would do, found out without doing it: documents are opened, nothing is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from ..errors import PageError
from .config import ReadConfig
from .counting import counted_ahead
from .documents import Document
from .folder import JobFolder
from .outputs import Outputs
from .work import Work, plan, without_pages


@dataclasses.dataclass(frozen=True, kw_only=True)
class Planned:
    """What a job would do with a document.

    `num_pages` that are wanted, of which `num_left` would be read; `paths` of the files that would
    be written; `reason`: why it cannot be read.
    """

    document: Document
    num_pages: int
    num_left: int
    paths: Sequence[Path] = ()
    reason: str = ""


def planned(config: ReadConfig, documents: Sequence[Document]) -> Iterator[Planned]:
    """What would be done with each document."""
    out = config.out or Path()
    folder = JobFolder(out)
    if config.out is None or not config.resume:
        folder.journal.forget()
    works = plan(config, documents, folder)
    outputs = Outputs(config, folder, config.password())
    counted = counted_ahead(
        [work.document for work in works],
        password=config.password(),
        max_pixels=config.max_pixels,
    )
    with closing(counted) as counts:
        for work, found in zip(works, counts, strict=True):
            yield _planned(work, found, config, folder, outputs)


def _planned(
    work: Work, found: int | PageError, config: ReadConfig, folder: JobFolder, outputs: Outputs
) -> Planned:
    document = work.document
    if isinstance(found, PageError):
        return Planned(document=document, num_pages=0, num_left=0, reason=str(found))
    work.has_opened(found, config)
    if not work.numbers:
        reason = without_pages(document, found, config)
        return Planned(document=document, num_pages=0, num_left=0, reason=reason)
    ended = folder.journal.ended(work.fingerprint)
    num_left = sum(n not in ended or ended[n].status == "failed" for n in work.numbers)
    return Planned(
        document=document,
        num_pages=len(work.numbers),
        num_left=num_left,
        paths=outputs.paths(work) if config.out is not None else (),
    )
