"""Runs of a job: into a folder, of one document to a stream, and again and again over a folder."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any

from ..files import check_output_dir
from .config import ReadConfig
from .documents import Document
from .folder import JobFolder, joined, remove_torn
from .identity import file_state, job_digest
from .job import Engine, Listener, ReadingJob, page_read, prompt_for
from .journal import Ended
from .outputs import picture_of
from .pages import read_pages
from .rendering import Renderer
from .results import ReadPage
from .tally import Counting, Tally
from .work import Work, plan

NUM_BAD_SHOWN = 10
PAUSE_S = 2.0
"""Between two looks at a folder that is watched."""
LoadEngine = Callable[[], Engine]


def read_into_folder(
    config: ReadConfig,
    documents: Sequence[Document],
    load: LoadEngine,
    listener: Listener | None = None,
    *,
    tried: set[str] | None = None,
) -> Tally:
    """Read what is not done yet into `config.out`, and write the files; what became of all pages.

    Args:
        load: called once a page must be read: a job that is done needs no model.
        tried: fingerprints whose failed pages get no further chance; those of this run are added.

    Raises:
        UserError: the folder cannot be used; whatever `load` raises.
        OSError: the disk is full, or the folder is gone. The job can be resumed.
    """
    assert config.out is not None
    listener = listener or Listener()
    check_output_dir(config.out)
    engine = None if config.out.is_dir() else load()  # what is refused leaves no folder
    forget = {}
    if not config.resume:
        works = plan(config, documents, JobFolder(config.out))
        forget = {work.fingerprint: work.name for work in works}
    with joined(config.out, job_digest(config), forget) as folder:
        works = plan(config, documents, folder)
        job = ReadingJob(config, folder, works, listener, tried=tried or set())
        if tried is not None:
            tried |= {work.fingerprint for work in works}
        if job.unfinished() or folder.journal.num_superseded:
            folder.leases.if_alone(lambda: remove_torn(folder, [work.name for work in works]))
        job.write_what_is_read()
        job.settle_unopened()
        if job.unfinished():
            if engine is None:
                engine = load()
            with listener.reading(job):
                job.run(engine)
        if folder.journal.num_superseded:
            folder.leases.if_alone(folder.journal.rewrite)
        return job.tally(NUM_BAD_SHOWN)


def read_to_stream(
    config: ReadConfig,
    document: Document,
    engine: Engine,
    stream: IO[str],
    listener: Listener | None = None,
) -> Tally:
    """Read one document and write it as `config.stdout_format`, page by page; nothing is kept.

    A PDF goes to the bytes below the stream. A document that cannot be opened gives nothing; it is
    in the tally.
    """
    listener = listener or Listener()
    work = Work(document=document, path=str(document.path), name=document.name, fingerprint="")
    counter = Counting(NUM_BAD_SHOWN)
    renderer = Renderer(config)

    prompt, password = prompt_for(config, engine), config.password()

    def pages() -> Iterator[ReadPage]:
        for result in read_pages(config, [document], engine, prompt, password=password):
            page = page_read(result.page, result)
            counter.add(document.source, page.number, Ended(page.status, page.reason))
            listener.ended(work, page)
            if page.number is not None:
                yield page

    if config.json_lines:
        for _ in pages():
            pass
    elif config.stdout_format == "pdf":
        renderer.write_pdf(
            stream.buffer,  # type: ignore[attr-defined]
            pages(),
            source=document.source,
            open_page=lambda page: picture_of(document, page, config, password),
        )
    else:
        kind, source = config.stdout_format, document.source
        for piece in renderer.pieces(kind, pages(), source=source, prompt=prompt):
            stream.write(piece)
            stream.flush()
    return counter.tally(1)


def watch(
    config: ReadConfig,
    find: Callable[[], Sequence[Document]],
    load: LoadEngine,
    listener: Listener | None = None,
    *,
    pause: Callable[[], None] = lambda: time.sleep(PAUSE_S),
) -> Iterator[Tally]:
    """Read what `find` finds, again and again; the tally of each round in which there was work.

    A file is read once it has stayed as it is between two rounds, so that it is whole. A page that
    failed is not retried until the file changes. Ends only from outside.
    """
    engines: list[Engine] = []

    def load_once() -> Engine:
        if not engines:
            engines.append(load())
        return engines[0]

    tried: set[str] = set()
    before: dict[str, Any] = {}
    while True:
        documents = find()
        states = {document.source: file_state(document.path) for document in documents}
        settled = [d for d in documents if before.get(d.source) == states[d.source]]
        before = states
        if settled:
            tally = read_into_folder(config, settled, load_once, listener, tried=tried)
            if tally.num_read:
                yield tally
        config = dataclasses.replace(config, resume=True)  # anew only once
        pause()
