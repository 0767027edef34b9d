"""Sizes of pages without drawing them: from the heads of picture files, from the boxes of PDFs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ...errors import PageError
from ...pictures import MAX_PIXELS, picture_size
from .loading import TARGET_SIDE, embedded_bytes, load_page, reference_path
from .pdf import PdfPages, opened_pdf
from .references import Reference, parse_reference

Size = tuple[int, int]
"""Width and height in pixels."""


def page_sizes(
    data_root: Path, references: Iterable[str], *, max_pixels: int = MAX_PIXELS
) -> dict[str, Size | PageError]:
    """For each reference the size of the page that `load_page` would give, or why there is none.

    A PDF is opened once for all its pages. Nothing is decoded but what is cut to its content; so
    damage behind the head of a file does not show.
    """
    sizes: dict[str, Size | PageError] = {}
    in_files: dict[str, list[str]] = defaultdict(list)
    for reference in references:
        try:
            in_files[parse_reference(reference).path].append(reference)
        except PageError as error:
            sizes[reference] = error
    for path, pages in in_files.items():
        if path.lower().endswith(".pdf"):
            sizes |= _pdf_sizes(data_root, path, pages, max_pixels)
        else:
            sizes |= {page: _picture_size(data_root, page, max_pixels) for page in pages}
    return sizes


def _pdf_sizes(
    data_root: Path, path: str, references: Sequence[str], max_pixels: int
) -> Iterator[tuple[str, Size | PageError]]:
    try:
        with opened_pdf(reference_path(data_root, references[0]), path) as pages:
            named = {reference: parse_reference(reference) for reference in references}
            found = [
                (text, _pdf_size(pages, reference, max_pixels))
                for text, reference in named.items()
                if not _must_be_drawn(reference)
            ]
    except PageError as error:
        found = [(reference, error) for reference in references]
    yield from found
    seen = {reference for reference, _ in found}
    for reference in references:  # outside, as the page is drawn from the file opened once more
        if reference not in seen:
            yield reference, _drawn_size(data_root, reference, max_pixels)


def _must_be_drawn(reference: Reference) -> bool:
    """Whether `load_page` alone can tell its size, or that it names no single page."""
    return reference.crop or reference.is_whole


def _pdf_size(pages: PdfPages, reference: Reference, max_pixels: int) -> Size | PageError:
    try:
        return pages.size(reference.page or 1, TARGET_SIDE, max_pixels)
    except PageError as error:
        return error


def _picture_size(data_root: Path, text: str, max_pixels: int) -> Size | PageError:
    reference = parse_reference(text)
    if _must_be_drawn(reference):
        return _drawn_size(data_root, text, max_pixels)
    try:
        path = reference_path(data_root, text)
        source = embedded_bytes(path, reference) if reference.is_embedded else path
        return picture_size(
            source, frame=reference.page or 1, max_pixels=max_pixels, name=str(reference)
        )
    except PageError as error:
        return error


def _drawn_size(data_root: Path, reference: str, max_pixels: int) -> Size | PageError:
    try:
        return load_page(data_root, reference, max_pixels=max_pixels).size
    except PageError as error:
        return error
