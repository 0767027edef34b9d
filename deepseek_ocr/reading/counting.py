"""How many pages documents have, found out ahead of their turn while others are read."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from ..errors import PageError
from .documents import Document
from .opening import count_pages

AHEAD = 4
"""Documents."""


def counted_ahead(
    documents: Iterable[Document], *, password: str | None, max_pixels: int, ahead: int = AHEAD
) -> Generator[int | PageError, None, None]:
    """For each document in turn its number of pages, or why it cannot be opened."""

    def count(document: Document) -> int | PageError:
        try:
            return count_pages(document, password=password, max_pixels=max_pixels)
        except PageError as error:
            return error

    waiting: deque[Future[int | PageError]] = deque()
    remaining = iter(documents)
    pool = ThreadPoolExecutor(1, "opening")
    try:
        while True:
            while len(waiting) < ahead and (document := next(remaining, None)) is not None:
                waiting.append(pool.submit(count, document))
            if not waiting:
                return
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
