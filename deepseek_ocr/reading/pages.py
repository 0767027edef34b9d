"""Pages of documents in order, as they are answered; nothing is written anywhere."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import Any

from ..errors import PageError
from ..inference.results import PageResult
from .config import ReadConfig
from .counting import counted_ahead
from .documents import Document
from .job import Engine
from .work import page_source, wanted_pages, without_pages

Coming = deque[tuple[Document, int | str]]
"""What is to come: pages by number, documents without any with the reason."""


def read_pages(
    config: ReadConfig,
    documents: Sequence[Document],
    engine: Engine,
    prompt: str,
    *,
    mode: str | None = None,
    password: str | None = None,
) -> Generator[PageResult, None, None]:
    """Every wanted page of every document, in order, with its source and number.

    A document that cannot be opened has one result without a number, `failed`.

    Args:
        mode: in place of the engine's.
        password: of encrypted PDFs.
    """
    coming: Coming = deque()

    def requests() -> Iterator[tuple[Any, ...]]:
        counted = counted_ahead(documents, password=password, max_pixels=config.max_pixels)
        with closing(counted) as counts:
            for document, found in zip(documents, counts, strict=True):
                numbers = [] if isinstance(found, PageError) else wanted_pages(found, config)
                if not numbers:
                    coming.append((document, _why_none(document, found, config)))
                for number in numbers:
                    coming.append((document, number))
                    yield [page_source(document, number, config, password)], prompt, mode

    def unopened() -> Iterator[PageResult]:
        while coming and isinstance(reason := coming[0][1], str):
            source = coming.popleft()[0].source
            yield PageResult(text="", status="failed", reason=reason, prompt=prompt, source=source)

    answers = engine.answer(
        requests(),
        max_new_tokens=config.max_new_tokens,
        batch_size=config.batch_size,
        in_order=True,
        num_workers=config.num_workers,
    )
    with closing(answers):
        for _, result in answers:
            yield from unopened()
            document, number = coming.popleft()
            assert isinstance(number, int)
            yield dataclasses.replace(result, source=document.source, page=number)
    yield from unopened()


def _why_none(document: Document, found: int | PageError, config: ReadConfig) -> str:
    return str(found) if isinstance(found, PageError) else without_pages(document, found, config)
