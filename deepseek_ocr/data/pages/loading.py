"""From a reference in an annotation to the page it names; it never leads out of the data root."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import PageError
from ...pictures import MAX_PIXELS, SUFFIXES, num_frames, open_picture
from .content_box import cut_to_content
from .embedded import (
    embedded_pictures,
    in_usual_case,
    is_embedded,
    named_file,
    picture_bytes,
)
from .held_rows import held_row
from .pdf import opened_pdf
from .references import Reference, parse_reference, split_reference

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "TARGET_SIDE",
    "Reference",
    "embedded_bytes",
    "holds_pages",
    "is_pdf",
    "load_page",
    "num_pages",
    "parse_reference",
    "reference_path",
    "split_reference",
]

TARGET_SIDE = 2048
"""Pixels of the longer side of a drawn PDF page: two tiles of 1024, above the largest view."""


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
    named = parse_reference(reference)
    path = reference_path(data_root, reference)
    if named.is_whole:
        raise PageError(f"{reference}: names all pages; expected one, such as {named.path}#page=1")
    page = _whole_page(path, named, max_pixels, target_side)
    return cut_to_content(page) if named.crop else page


def reference_path(data_root: Path, reference: str) -> Path:
    """The existing file that holds the page, checked to lie inside `data_root`.

    Raises:
        PageError: it does not exist, or the reference or a link on its way leads outside.
    """
    relative = parse_reference(reference).path
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
        return num_frames(path, max_pixels=max_pixels, name=parse_reference(reference).path)
    with opened_pdf(path, parse_reference(reference).path) as pages:
        return len(pages)


def is_pdf(reference: str) -> bool:
    """Whether the page lies in a PDF, by the file's name."""
    return parse_reference(reference).path.lower().endswith(".pdf")


def holds_pages(path: str) -> bool:
    """Whether a file is a picture or a PDF by its name; others may hold rows."""
    return path.lower().endswith((*SUFFIXES, ".pdf"))


def embedded_bytes(path: Path, reference: Reference) -> bytes:
    """The bytes of the picture file that a row of the file at `path` holds.

    Raises:
        PageError: there is no such row, or the row holds no such picture.
    """
    if holds_pages(reference.path):
        raise PageError(f"{reference}: no file of rows; expected #page=NUMBER")
    pictures = embedded_pictures(in_usual_case(held_row(path, reference)))
    number = reference.image or 1
    if number > len(pictures):
        held = f"it holds {len(pictures)}" if pictures else "it holds none"
        raise PageError(f"{reference}: the row has no picture {number}; {held}")
    picture = pictures[number - 1]
    if not is_embedded(picture):
        file = named_file(picture) or "no file"
        raise PageError(f"{reference}: the row only names {file}; name that file itself")
    try:
        return picture_bytes(picture)
    except ValueError as error:
        raise PageError(f"{reference}: {error}") from None


def _whole_page(path: Path, named: Reference, max_pixels: int, target_side: int) -> Image.Image:
    if named.is_embedded:
        return open_picture(embedded_bytes(path, named), max_pixels=max_pixels, name=str(named))
    number = named.page or 1
    if named.path.lower().endswith(".pdf"):
        with opened_pdf(path, named.path) as pages:
            return pages.draw(number, target_side, max_pixels)
    return open_picture(path, frame=number, max_pixels=max_pixels, name=str(named))
