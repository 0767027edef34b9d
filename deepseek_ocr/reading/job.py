"""One job from beginning to end: every page of every document read once, and its files written.

Several processes may work in one output folder. A page is read under a lease, and its row stands in
the journal before the lease is given back; whoever gets the lease next sees the row. Whoever sees
that a document's last page has ended writes its files, under a lease too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import logging
import time
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any, Protocol

from ..errors import PageError
from .config import ReadConfig
from .counting import counted_ahead
from .folder import JobFolder
from .kept_pages import KeptPages
from .outputs import Outputs
from .results import ReadPage
from .tally import Counting, Tally
from .tasks import choose_prompt
from .work import Work, marked_name, page_source, without_pages

logger = logging.getLogger(__name__)

WAIT_S = 0.5
"""Between two looks at what other processes have done, once all that is left is theirs."""

OF_ONE_DOCUMENT = (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.EINVAL)
"""Errors of the disk that come of a document's name: a folder is called like an output, say."""


class Engine(Protocol):
    """What a job needs of `deepseek_ocr.inference.engine.OcrEngine`."""

    @property
    def prompt(self) -> str | None:
        """The prompt that the model was trained on, if it is known."""

    def answer(
        self,
        requests: Iterable[tuple[Sequence[Any], str]],
        *,
        max_new_tokens: int,
        batch_size: int,
        in_order: bool,
        num_workers: int,
    ) -> Generator[tuple[int, Any], None, None]:
        """The number of each request, from 0, with its `PageResult`."""


class Listener:
    """Is told how a job gets on; does nothing of it."""

    def reading(self, job: ReadingJob) -> contextlib.AbstractContextManager[None]:
        """Around all reading; not entered where there is nothing to read."""
        return contextlib.nullcontext()

    def opened(self, work: Work) -> None:
        """A document has been opened for the first time: its pages are known."""

    def ended(self, work: Work, page: ReadPage) -> None:
        """This process has ended a page, or a document that it cannot open."""


class ReadingJob:
    """Reads the pages of `works` that are not done, as `config` says, into the job's folder.

    Args:
        tried: fingerprints of documents whose failed pages are not retried.
    """

    def __init__(
        self,
        config: ReadConfig,
        folder: JobFolder,
        works: Sequence[Work],
        listener: Listener,
        *,
        tried: Collection[str] = (),
    ):
        self.config, self.folder, self.works, self.listener = config, folder, works, listener
        self.password = config.password()
        self.outputs = Outputs(config, folder, self.password)
        self._under_way: dict[int, tuple[Work, int]] = {}
        self._kept: dict[str, KeptPages] = {}
        self._prompt = ""
        self.num_read = 0
        self._mark_retries(tried)

    def _mark_retries(self, tried: Collection[str]) -> None:
        """Pages that failed in an earlier job get another chance, once."""
        journal = self.folder.journal
        for work in self.works:
            if work.fingerprint in tried:
                continue
            if work.num_pages is not None and not work.numbers:
                continue  # it never had the pages that are wanted
            for number, end in work.ends(self.folder):
                if end.status == "failed":
                    journal.to_retry.add((work.fingerprint, number))

    # --- what is done -------------------------------------------------------------------------

    def unfinished(self) -> list[Work]:
        """The documents with a page to read or a file to write."""
        return [work for work in self.works if not self._is_finished(work)]

    def _is_finished(self, work: Work) -> bool:
        if work.fault:
            return True
        if not work.has_ended(self.folder):
            return False
        return not work.numbers or self.outputs.are_written(work)

    def num_done(self) -> int:
        """Pages that need not be read any more."""
        journal = self.folder.journal
        return sum(
            journal.is_done(work.fingerprint, number)
            for work in self.works
            for number, _ in work.ends(self.folder)
        )

    def tally(self, num_shown: int) -> Tally:
        """What became of the pages, by the journal."""
        counter = Counting(num_shown)
        for work in self.works:
            for number, end in work.ends(self.folder):
                counter.add(work.document.source, number, end)
        faults = [(work.document.source, work.fault) for work in self.works if work.fault]
        tally = counter.tally(len(self.works))
        return dataclasses.replace(tally, faults=faults, num_read=self.num_read)

    # --- the work -----------------------------------------------------------------------------

    def write_what_is_read(self) -> None:
        """Write the files of documents whose pages have ended; no model is needed."""
        for work in self.unfinished():
            if work.numbers:
                self._recover(work)
                self._write_if_ended(work)

    def settle_unopened(self) -> None:
        """Leave documents as they are that still do not open, for the same reason as before.

        No model is needed to find that out.
        """
        journal = self.folder.journal
        works = [work for work in self.works if (work.fingerprint, None) in journal.to_retry]
        works = [work for work in works if work.num_pages is None]
        found = counted_ahead(
            [work.document for work in works],
            password=self.password,
            max_pixels=self.config.max_pixels,
        )
        with closing(found) as counts:
            for work, count in zip(works, counts, strict=True):
                if str(count) == journal.ended(work.fingerprint)[None].reason:
                    journal.to_retry.discard((work.fingerprint, None))

    def run(self, engine: Engine) -> None:
        """Read and write until every document is finished, whoever finishes it."""
        self._prompt = prompt_for(self.config, engine)
        while works := self.unfinished():
            num_ended = self._pass(engine, works)
            self.folder.refresh()
            for work in works:
                self._write_if_ended(work)
            if not num_ended and self.unfinished():
                time.sleep(WAIT_S)
                self.folder.refresh()

    def _pass(self, engine: Engine, works: Sequence[Work]) -> int:
        """Read what nobody else reads; how many pages this process has ended."""
        num_ended = 0
        config = self.config
        answers = engine.answer(
            self._requests(works),
            max_new_tokens=config.max_new_tokens,
            batch_size=config.batch_size,
            in_order=False,
            num_workers=config.num_workers,
        )
        with closing(answers):
            for request, result in answers:
                work, number = self._under_way.pop(request)
                self._end_page(work, page_read(number, result))
                num_ended += 1
        return num_ended

    def _requests(self, works: Sequence[Work]) -> Iterator[tuple[Sequence[Any], str]]:
        """The pages that this process reads, each under its lease."""
        count = 0
        for work in self._opened(works):
            self._recover(work)
            for number in list(work.missing(self.folder)):
                if not self._is_ours(work, number):
                    continue
                self._under_way[count] = work, number
                count += 1
                page = page_source(work.document, number, self.config, self.password)
                yield [page], self._prompt

    def _is_ours(self, work: Work, part: int | None) -> bool:
        """Whether this process now has the lease on a page that nobody has read meanwhile."""
        leases, lease = self.folder.leases, work.lease(part or "document")
        if not leases.take(lease):
            return False
        self.folder.journal.refresh()
        if self.folder.journal.is_done(work.fingerprint, part):
            leases.give_back(lease)
            return False
        return True

    def _end_page(self, work: Work, page: ReadPage) -> None:
        """Keep an answer, then say so, then let go."""
        assert page.number is not None
        self._kept_pages(work).keep(page)
        self._record(work, page)
        self.folder.leases.give_back(work.lease(page.number))
        self.num_read += 1
        self.listener.ended(work, page)
        self._write_if_ended(work)

    def _record(self, work: Work, page: ReadPage) -> None:
        self.folder.journal.add(work.document.source, work.fingerprint, page)
        self.folder.journal.refresh()

    def _recover(self, work: Work) -> None:
        """Make rows and answers agree.

        A process may have been killed between keeping an answer and its row, which is written now.
        A row without an answer, which somebody has deleted, promises nothing: the page is read.
        """
        journal = self.folder.journal
        ended = set(journal.ended(work.fingerprint))  # as of before the answers are looked at
        kept = self._kept_pages(work)
        kept.refresh()
        for number in work.numbers:
            if number in ended:
                if number not in kept.numbers:
                    journal.to_retry.add((work.fingerprint, number))
            elif number in kept.numbers and self._is_ours(work, number):
                self._record(work, kept.page(number))
                self.folder.leases.give_back(work.lease(number))

    def _kept_pages(self, work: Work) -> KeptPages:
        """The answers of a document, remembered until its files are written."""
        if work.fingerprint not in self._kept:
            self._kept[work.fingerprint] = self.folder.kept_pages(work.fingerprint)
        return self._kept[work.fingerprint]

    # --- documents ----------------------------------------------------------------------------

    def _opened(self, works: Sequence[Work]) -> Iterator[Work]:
        """Works whose pages are known, opened ahead of their turn."""
        unknown = [work for work in works if work.num_pages is None]
        with closing(
            counted_ahead(
                [work.document for work in unknown],
                password=self.password,
                max_pixels=self.config.max_pixels,
            )
        ) as counts:
            for work in works:
                if work.num_pages is None:
                    self._open(work, next(counts))
                if work.num_pages is not None and not work.numbers:
                    reason = without_pages(work.document, work.num_pages, self.config)
                    self._end_document(work, reason)
                yield work

    def _open(self, work: Work, found: int | PageError) -> None:
        if isinstance(found, PageError):
            self._end_document(work, str(found))
            return
        catalogue = self.folder.catalogue
        if not catalogue.claim(work.name, work.path):  # somebody was faster with the same name
            work.name = marked_name(work.document)
            catalogue.claim(work.name, work.path)
        work.has_opened(found, self.config)
        catalogue.set_opened(work.fingerprint, found, self._prompt)
        self.listener.opened(work)

    def _end_document(self, work: Work, reason: str) -> None:
        """It cannot be read at all."""
        page = ReadPage(number=None, status="failed", reason=reason, prompt=self._prompt)
        if self._is_ours(work, None):
            self._record(work, page)
            self.folder.leases.give_back(work.lease("document"))
            self.num_read += 1
            self.listener.ended(work, page)

    def _write_if_ended(self, work: Work) -> None:
        """Write the files of a document whose pages have ended, unless somebody else does."""
        if not work.numbers or not work.has_ended(self.folder) or self._is_finished(work):
            return
        lease = work.lease("files")
        if not self.folder.leases.take(lease):
            return
        try:
            self.folder.catalogue.refresh()
            if not self.outputs.are_written(work):
                self.outputs.write(work, self._kept_pages(work))
            self._kept.pop(work.fingerprint, None)
        except OSError as error:
            if error.errno not in OF_ONE_DOCUMENT:  # the disk: no other document fares better
                raise
            work.fault = f"{error.filename2 or error.filename}: {error.strerror}"
        except Exception as error:  # one bad document never ends the job
            logger.debug("%s", work.name, exc_info=True)
            work.fault = (
                str(error) if isinstance(error, PageError) else f"{type(error).__name__}: {error}"
            )
        finally:
            self.folder.leases.give_back(lease)


def prompt_for(config: ReadConfig, engine: Engine) -> str:
    """What each page is asked."""
    return choose_prompt(
        prompt=config.prompt, task=config.task, locate=config.locate, trained=engine.prompt
    )


def page_read(number: int | None, result: Any) -> ReadPage:
    """What an engine gave for a page."""
    return ReadPage(
        number=number,
        status=result.status,
        reason=result.reason,
        text=result.text,
        width=result.width,
        height=result.height,
        turned=result.turned,
        prompt=result.prompt,
        mode=result.mode,
        attempts=max(1, len(result.attempts)),
        num_tokens=result.num_tokens,
        seconds=result.seconds,
    )
