"""Documents opened in a process of their own, with limits on time and memory.

One such process is kept between calls, and it keeps its last document open; it ends with this one.
"""

from __future__ import annotations

import atexit
import math
import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError
from typing import Any

from PIL import Image

from ..children import Answer, Blob, Children
from ..data.pages.sources import PageOpener, PageSource, open_as_read, source_of, values_of
from ..errors import PageError
from ..inference.cutting import TIME_LIMIT_S, memory_limit
from ..pictures import MAX_PIXELS
from .documents import Document

COUNT, PAGE = f"{__name__}:count_in_child", f"{__name__}:page_in_child"


def count_pages(
    document: Document, *, password: str | None = None, max_pixels: int = MAX_PIXELS
) -> int:
    """How many pages a document has: of a PDF, or frames of a TIFF; any other picture has one.

    Raises:
        PageError: it cannot be opened.
    """
    if document.fault is not None:
        raise PageError(document.fault)
    source = PageSource(
        path=document.path, name=document.source, password=password, max_pixels=max_pixels
    )
    return _OPENER.ask(COUNT, source, None).values


def open_page(source: PageSource, *, size: tuple[int, int] | None = None) -> Image.Image:
    """A page as RGB, upright, with its `dpi` in `info` where that is known.

    `size` is the (width, height) that it had when it was read, for PDF pages.

    Raises:
        PageError: it cannot be opened.
    """
    (width, height, dpi), (pixels,) = _OPENER.ask(PAGE, source, size)
    page = Image.frombytes("RGB", (width, height), pixels)
    if dpi:
        page.info["dpi"] = (dpi, dpi)
    return page


class _Opener:
    """The process that is kept, for pictures of up to so many pixels."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._children: Children | None = None
        self._max_pixels = 0

    def ask(self, function: str, source: PageSource, size: tuple[int, int] | None) -> Answer:
        """What one of the functions below gives for a source."""
        values, name = [values_of(source), size], str(source)
        with self._lock:
            if self._children is None or source.max_pixels != self._max_pixels:
                self._close()
                self._children = Children(1, memory_limit(source.max_pixels), TIME_LIMIT_S)
                self._max_pixels = source.max_pixels
            answer = self._children.submit(function, values, name=name)
        try:
            return answer.result()
        except CancelledError:
            raise PageError(f"{name}: its reading was interrupted") from None

    def close(self) -> None:
        """End the process; the next call starts another."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        children, self._children = self._children, None
        if children is not None:
            children.close()


_OPENER = _Opener()
atexit.register(_OPENER.close)

_KEPT = PageOpener()  # of the process that these run in; holds nothing until then


def count_in_child(values: Any, blobs: Sequence[bytes]) -> tuple[int, Sequence[Blob]]:
    """As `count_pages`, in a child."""
    return _KEPT.num_pages(source_of(values[0])), ()


def page_in_child(values: Any, blobs: Sequence[bytes]) -> tuple[Any, Sequence[Blob]]:
    """As `open_page`, in a child."""
    page, _ = open_as_read(source_of(values[0]), _KEPT, values[1])
    return (*page.size, _dpi(page)), [page.tobytes()]


def _dpi(page: Image.Image) -> float | None:
    """Pixels an inch, where the file says so and says it of both sides."""
    try:
        across, down = map(float, page.info.get("dpi", ()))
    except (TypeError, ValueError, ArithmeticError):
        return None
    return across if across == down and math.isfinite(across) else None
