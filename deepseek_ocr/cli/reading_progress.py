"""What `deepseek-ocr read` shows of a job while it runs."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Iterator

from ..progress import Progress, say
from ..reading.config import ReadConfig
from ..reading.growing import json_line
from ..reading.job import Listener, ReadingJob
from ..reading.journal import journal_row
from ..reading.json_document import page_object
from ..reading.rendering import Renderer
from ..reading.results import BAD, ReadPage
from ..reading.work import Work
from .streams import frank_stdout


class ReadingProgress(Listener):
    """Pages and tokens a second and the time left, on stderr; rows as JSON lines, on stdout.

    A document that has not been opened yet counts as one page.
    """

    def __init__(self, config: ReadConfig):
        self.config = config
        self._renderer = Renderer(config)
        self._progress: Progress | None = None
        self._total = self._tokens = 0
        self._bad: Counter[str] = Counter()
        self._began = time.monotonic()

    @contextlib.contextmanager
    def reading(self, job: ReadingJob) -> Iterator[None]:
        """Show the job's pages; those that were read before count as done."""
        done, quiet = job.num_done(), self.config.quiet
        self._total = sum(len(work.numbers) or 1 for work in job.works)
        self._began, self._tokens = time.monotonic(), 0
        self._bad.clear()
        if done:
            say(f"resume: {done} of {self._total} pages were read before", quiet=quiet)
        with Progress(self._total, "pages", "read", start=done, quiet=quiet) as progress:
            self._progress = progress
            try:
                yield
            finally:
                self._progress = None

    def opened(self, work: Work) -> None:
        """Its pages are known."""
        self._total += (len(work.numbers) or 1) - 1
        if self._progress is not None:
            self._progress.extend(self._total)

    def ended(self, work: Work, page: ReadPage) -> None:
        """One more."""
        if self.config.json_lines:
            stream = sys.stdout if self.config.out is not None else frank_stdout()
            print(json_line(self._row(work, page)), file=stream, flush=True)
        if self._progress is None:
            return
        self._tokens += page.num_tokens
        self._bad.update({page.status} & set(BAD))
        seconds = max(time.monotonic() - self._began, 1e-9)
        rate = f"{self._tokens / seconds:.0f}"
        brief = [f"{rate} tokens/s", *(f"{count} {name}" for name, count in self._bad.items())]
        self._progress.advance(1, brief=brief, tokens_s=rate, **self._bad)

    def _row(self, work: Work, page: ReadPage) -> dict[str, object]:
        """A page for programs: without a folder to find its text in, with that."""
        row = journal_row(work.document.source, page)
        return row if self.config.out is not None else row | page_object(self._renderer.page(page))
