"""Pages of PDF documents as pictures, drawn by PDFium."""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import PageError

if TYPE_CHECKING:
    from PIL import Image

_PDFIUM = threading.Lock()  # PDFium must not be called by two threads at once


class PdfPages:
    """The pages of an open document, by number from 1; see `opened_pdf`."""

    def __init__(self, document: Any, name: str):
        self._document, self.name = document, name

    def __len__(self) -> int:
        return len(self._document)

    def size(self, number: int, target_side: int, max_pixels: int) -> tuple[int, int]:
        """Width and height of the picture that `draw` would give.

        Raises:
            PageError: as `draw`.
        """
        page = self._page(number)
        scale = _scale(page, self._called(number), target_side, max_pixels)
        width, height = page.get_size()
        return math.ceil(width * scale), math.ceil(height * scale)

    def scale(self, number: int, target_side: int, max_pixels: int) -> float:
        """Pixels a point in the picture that `draw` would give.

        Raises:
            PageError: as `draw`.
        """
        return _scale(self._page(number), self._called(number), target_side, max_pixels)

    def draw(self, number: int, target_side: int, max_pixels: int) -> Image.Image:
        """A page as RGB; its longer side has `target_side` pixels, unless it had too many so.

        Raises:
            PageError: there is no such page, or it has no area, is too narrow or damaged.
        """
        page = self._page(number)
        scale = _scale(page, self._called(number), target_side, max_pixels)
        try:
            bitmap = page.render(scale=scale, rev_byteorder=True)
            return bitmap.to_pil().convert("RGB").copy()  # the copy outlives PDFium's memory
        except (RuntimeError, ValueError, OSError, MemoryError):
            raise self._damaged(number) from None

    def _page(self, number: int) -> Any:
        if not 1 <= number <= len(self):
            called = self._called(number)
            raise PageError(f"{called}: has no such page; its pages are 1 to {len(self)}, name one")
        try:
            return self._document[number - 1]
        except (RuntimeError, ValueError, OSError, MemoryError):
            raise self._damaged(number) from None

    def _damaged(self, number: int) -> PageError:
        return PageError(
            f"{self._called(number)}: the page is damaged and cannot be drawn; replace the file"
        )

    def _called(self, number: int) -> str:
        return f"{self.name}#page={number}"


@contextlib.contextmanager
def opened_pdf(path: Path, name: str) -> Iterator[PdfPages]:
    """The pages of a PDF file that errors call `name`; one thread at a time has one open.

    Raises:
        PageError: it needs a password, or is damaged or has no pages.
    """
    try:
        import pypdfium2 as pdfium  # here, so that pictures need no PDF library
    except ImportError:
        raise PageError(f"{name}: reading PDF needs the package pypdfium2") from None

    with _PDFIUM:
        try:
            document = pdfium.PdfDocument(os.fspath(path))
        except (pdfium.PdfiumError, OSError) as error:
            locked = "password" in str(error).lower() and _is_encrypted(path)
            found = "needs a password" if locked else "is damaged or has no pages"
            raise PageError(f"{name}: the PDF {found}; expected a PDF that opens") from None
        try:
            yield PdfPages(document, name)
        finally:
            document.close()


def _is_encrypted(path: Path) -> bool:
    """Whether the file says so: PDFium's error may still be that of the document before."""
    with (
        contextlib.suppress(OSError, ValueError),
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        return content.find(b"/Encrypt") >= 0
    return False


def _scale(page: Any, name: str, target_side: int, max_pixels: int) -> float:
    """Pixels a point."""
    width, height = page.get_size()  # points, turned as the page says
    if not (width > 0 and height > 0):
        raise PageError(
            f"{name}: the page has no area ({width:g} x {height:g} points); leave it out"
        )
    scale = target_side / max(width, height)
    if min(width, height) * scale < 1:
        raise PageError(
            f"{name}: {width:g} x {height:g} points are too narrow to draw; leave it out"
        )
    if width * height * scale**2 > max_pixels:
        scale = (max_pixels / (width * height)) ** 0.5
    return scale
