"""From a reference in an annotation to the page it names.

A reference is a path relative to the data root, or a part of such a file: `scan.png`,
`scans.tif#page=2`, `report.pdf#page=3` (pages count from 1). It never leads out of the data root.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ..errors import PageError
from ..pictures import MAX_PIXELS, num_frames, open_picture

if TYPE_CHECKING:
    from PIL import Image

TARGET_SIDE = 2048
"""Pixels of the longer side of a drawn PDF page: two tiles of 1024, above the largest view."""

_PDFIUM = threading.Lock()  # PDFium must not be called by two threads at once
_PART = re.compile(r"^(?P<path>.*)#(?P<key>page|row|line)=(?P<number>\d{1,9})(?P<rest>&.*)?$", re.S)


def load_page(
    data_root: Path,
    reference: str,
    *,
    max_pixels: int = MAX_PIXELS,
    target_side: int = TARGET_SIDE,
) -> Image.Image:
    """The page that `reference` names below `data_root`: upright, RGB, on white.

    A picture keeps its pixels; a PDF page is drawn so that its longer side has `target_side`.

    Raises:
        PageError: the reference leaves `data_root`, or the page cannot be opened.
    """
    path = reference_path(data_root, reference)
    _, number = split_reference(reference)
    if is_pdf(reference):
        return _draw_pdf_page(path, reference, max_pixels, target_side)
    return open_picture(path, frame=number, max_pixels=max_pixels, name=reference)


def reference_path(data_root: Path, reference: str) -> Path:
    """The existing file that holds the page, checked to lie inside `data_root`.

    Raises:
        PageError: it does not exist, or the reference or a link on its way leads outside.
    """
    relative, _ = split_reference(reference)
    root = Path(data_root).resolve()
    path = root / relative
    try:
        inside = path.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # a link to itself
        raise PageError(
            f"{relative}: a link that leads nowhere; put the file in its place"
        ) from None
    if not inside:
        raise PageError(f"{relative}: leads out of the data root; copy the file into it")
    if not path.is_file():
        found = "is not a file" if path.exists() else "does not exist"
        raise PageError(f"{relative}: {found} below the data root")
    return path


def num_pages(data_root: Path, reference: str, *, max_pixels: int = MAX_PIXELS) -> int:
    """How many pages the file of `reference` holds: of a PDF, or the frames of a picture.

    Raises:
        PageError: as `load_page`.
    """
    path = reference_path(data_root, reference)
    if not is_pdf(reference):
        return num_frames(path, max_pixels=max_pixels)
    with _opened_pdf(path, reference) as document:
        return len(document)


def split_reference(reference: str) -> tuple[str, int]:
    """`f.tif#page=2` -> (`f.tif`, 2); without a page number the first page.

    Raises:
        PageError: the reference is no relative path inside a folder, or names another kind of part.
    """
    part = _PART.match(reference)
    path = part["path"] if part else reference
    shown = repr(reference) if not reference.isprintable() else reference
    if not path or "\0" in path:
        raise PageError(f"{shown}: expected the path of a page")
    pure = PurePosixPath(path)
    if pure.is_absolute() or re.match(r"[A-Za-z]:[\\/]", path):
        raise PageError(f"{shown}: an absolute path; expected one relative to the data root")
    if ".." in pure.parts:
        raise PageError(f"{shown}: leads out of the data root; expected a path relative to it")
    if part and (part["key"] != "page" or part["rest"]):
        raise PageError(f"{shown}: this part of a file cannot be read; expected #page=NUMBER")
    number = int(part["number"]) if part else 1
    if number < 1:
        raise PageError(f"{shown}: pages count from 1")
    return path, number


def is_pdf(reference: str) -> bool:
    """Whether the page lies in a PDF, by the file's name."""
    return split_reference(reference)[0].lower().endswith(".pdf")


def _draw_pdf_page(path: Path, reference: str, max_pixels: int, target_side: int) -> Image.Image:
    _, number = split_reference(reference)
    with _opened_pdf(path, reference) as document:
        if not 1 <= number <= len(document):
            raise PageError(f"{reference}: has no such page; its pages are 1 to {len(document)}")
        return _draw(document[number - 1], reference, max_pixels, target_side)


@contextlib.contextmanager
def _opened_pdf(path: Path, reference: str) -> Iterator[Any]:
    """A `pypdfium2.PdfDocument`; what goes wrong with it becomes a `PageError`."""
    try:
        import pypdfium2 as pdfium  # here, so that pictures need no PDF library
    except ImportError:
        raise PageError(f"{reference}: reading PDF needs the package pypdfium2") from None

    with _PDFIUM:
        try:
            document = pdfium.PdfDocument(os.fspath(path))
        except (pdfium.PdfiumError, OSError) as error:
            locked = "password" in str(error).lower()
            found = "needs a password" if locked else "is damaged or has no pages"
            raise PageError(f"{reference}: the PDF {found}; expected a PDF that opens") from None
        try:
            yield document
        except PageError:
            raise
        except (pdfium.PdfiumError, ValueError, OSError, MemoryError):
            raise PageError(f"{reference}: the page is damaged and cannot be drawn") from None
        finally:
            document.close()


def _draw(page: Any, name: str, max_pixels: int, target_side: int) -> Image.Image:
    width, height = page.get_size()  # points, turned as the page says
    if not (width > 0 and height > 0):
        raise PageError(f"{name}: the page has no area ({width:g} x {height:g} points)")
    scale = target_side / max(width, height)
    if min(width, height) * scale < 1:
        raise PageError(f"{name}: {width:g} x {height:g} points are too narrow to draw")
    if width * height * scale**2 > max_pixels:
        scale = (max_pixels / (width * height)) ** 0.5
    bitmap = page.render(scale=scale, rev_byteorder=True)
    return bitmap.to_pil().convert("RGB").copy()  # the copy outlives PDFium's memory
