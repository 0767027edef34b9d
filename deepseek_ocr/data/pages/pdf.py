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

POINTS_AN_INCH = 72
ROUNDING = 1e-12  # PDFium rounds up: 1920.0000000000002 pixels would become 1921
_PDFIUM = threading.RLock()  # PDFium must not be called by two threads at once


class PdfPages:
    """The pages of an open document, by number from 1; see `opened_pdf`."""

    def __init__(self, document: Any, name: str):
        self._document, self.name = document, name

    def __len__(self) -> int:
        return len(self._document)

    def points(self, number: int) -> tuple[float, float]:
        """Width and height of a page as it is seen, in points (1/72 inch).

        Raises:
            PageError: there is no such page, or it has no area or is damaged.
        """
        return _points(self._page(number), self._called(number))

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

        What is filled into forms is drawn, too; no script or action of the file is run.

        Raises:
            PageError: there is no such page, or it has no area, is too narrow or damaged.
        """
        page = self._page(number)
        scale = _scale(page, self._called(number), target_side, max_pixels)
        try:
            bitmap = page.render(scale=scale, rev_byteorder=True)
            picture = bitmap.to_pil().convert("RGB").copy()  # the copy outlives PDFium's memory
            picture.info["dpi"] = (POINTS_AN_INCH * scale, POINTS_AN_INCH * scale)
            return picture
        except (RuntimeError, ValueError, OSError, MemoryError):
            raise self._damaged(number) from None
        finally:
            page.close()  # so that what it holds does not wait for the collector

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
def opened_pdf(path: Path, name: str, password: str | None = None) -> Iterator[PdfPages]:
    """The pages of a PDF file that errors call `name`; one thread at a time has any open.

    Raises:
        PageError: it needs a password or another one, or is damaged or has no pages.
    """
    try:
        import pypdfium2 as pdfium  # here, so that pictures need no PDF library
    except ImportError:
        raise PageError(f"{name}: reading PDF needs the package pypdfium2") from None

    with _PDFIUM:
        try:
            document = pdfium.PdfDocument(os.fspath(path), password)
            document.init_forms()
        except (pdfium.PdfiumError, OSError) as error:
            locked = "password" in str(error).lower() and _is_encrypted(path)
            raise PageError(f"{name}: the PDF {_found(locked, password)}") from None
        try:
            yield PdfPages(document, name)
        finally:
            document.close()


def _found(is_locked: bool, password: str | None) -> str:
    """Why a PDF does not open."""
    if not is_locked:
        return "is damaged or has no pages; expected a PDF that opens"
    if password is None:
        return "needs a password; expected a PDF that opens, or `read` with --password-file"
    return "needs another password than the one that was given"


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
    width, height = _points(page, name)
    scale = target_side / max(width, height)
    if min(width, height) * scale < 1:
        raise PageError(
            f"{name}: {width:g} x {height:g} points are too narrow to draw; leave it out"
        )
    if width * height * scale**2 > max_pixels:
        scale = (max_pixels / (width * height)) ** 0.5
    return scale * (1 - ROUNDING)


def _points(page: Any, name: str) -> tuple[float, float]:
    """Width and height in points, turned as the page says."""
    width, height = page.get_size()
    if not (width > 0 and height > 0):
        raise PageError(
            f"{name}: the page has no area ({width:g} x {height:g} points); leave it out"
        )
    return width, height
