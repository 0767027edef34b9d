"""One file of pictures opened to the end: its hash, its pages, and what is wrong with them."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ...errors import PageError
from ...pictures import num_frames, open_picture
from ..pages.content_box import cut_to_content
from ..pages.loading import TARGET_SIDE, embedded_bytes, holds_pages, reference_path
from ..pages.pdf import PdfPages, opened_pdf
from ..pages.references import Reference, parse_reference
from .perceptual_hash import perceptual_hash

if TYPE_CHECKING:
    from PIL import Image

LOOKED_AT_SIDE = 512  # pixels of a drawn PDF page; enough for its hash
PIECE_BYTES = 1 << 24
MOST_PAGES = 100_000  # of a file whose pages are all wanted
MANY_PAGES = (".tif", ".tiff", ".pdf")  # whose pages are documents', not an animation's


@dataclasses.dataclass(frozen=True, slots=True)
class FileReport:
    """A file's SHA-256 ("" if it cannot be read), and how many pages it holds.

    `num_pages` is 0 for a file of rows, and where `fault` says why the file cannot be opened.
    """

    sha256: str = ""
    num_pages: int = 0
    fault: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class PageReport:
    """Size in pixels of a page as `load_page` gives it, and what it looks like.

    Two pages have the same `fingerprint` if and only if they show the same bytes (whatever `crop`
    cuts off). Where `fault` says why the page cannot be used, the rest says nothing.
    """

    width: int = 0
    height: int = 0
    perceptual_hash: int = 0
    fingerprint: str = ""
    fault: str | None = None


Found: TypeAlias = FileReport | tuple[str, PageReport]


@dataclasses.dataclass(frozen=True, slots=True)
class Inspection:
    """What to find out about a file: the reports of its `parts` (`""`, `#page=2`, ...), and
    `with_file` its own. The report of `#page=*` says nothing; the file's tells how many pages."""

    path: str
    parts: tuple[str, ...]
    with_file: bool


def inspect(
    task: Inspection, data_root: Path, max_pixels: int, alive: Callable[[], object] = lambda: None
) -> Iterator[Found]:
    """The file's report, then those of the parts in their order.

    Nothing raises for what is wrong with the file. `alive` is called now and then where a report is
    long in coming, and when the file has been opened. A page's `fingerprint` is given where it is
    that of bytes within a row, else it is left to the file's SHA-256.
    """
    sha256 = ""
    try:
        path = reference_path(data_root, task.path)
        if task.with_file:
            sha256 = _sha256(path, alive)
        with _opened(task, path, max_pixels) as (num_pages, look):
            alive()
            if task.with_file:
                yield FileReport(sha256, num_pages)
            for part in task.parts:
                yield part, _looked_at(parse_reference(task.path + part), num_pages, look)
    except OSError as error:
        yield from _all_faulty(task, f"{task.path}: cannot be read ({error.strerror})")
    except PageError as error:  # about the file; those about a page are in its report
        yield from _all_faulty(task, str(error), sha256)


def _all_faulty(task: Inspection, fault: str, sha256: str = "") -> Iterator[Found]:
    if task.with_file:
        yield FileReport(sha256, 0, fault)
    for part in task.parts:
        yield part, PageReport(fault=fault)


def _sha256(path: Path, alive: Callable[[], object]) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
            alive()
    return digest.hexdigest()


_Look: TypeAlias = Callable[[Reference], PageReport]


@contextlib.contextmanager
def _opened(task: Inspection, path: Path, max_pixels: int) -> Iterator[tuple[int, _Look]]:
    """How many pages a file holds, and what looks at one of them."""
    named = [parse_reference(task.path + part) for part in task.parts]
    if task.path.lower().endswith(".pdf"):
        with opened_pdf(path, task.path) as pages:
            yield len(pages), _PdfFile(pages, max_pixels)
    elif not holds_pages(task.path) and any(reference.is_embedded for reference in named):
        yield 0, _FileOfRows(path, max_pixels)
    else:
        count = num_frames(path, max_pixels=max_pixels, name=task.path)
        yield count, _PictureFile(path, max_pixels)


def _looked_at(reference: Reference, num_pages: int, look: _Look) -> PageReport:
    if reference.is_whole:
        too_many = f"{reference.path}: holds {num_pages} pages; expected at most {MOST_PAGES}"
        return PageReport(fault=too_many if num_pages > MOST_PAGES else None)
    if reference.is_embedded and holds_pages(reference.path):
        return PageReport(fault=f"{reference}: no file of rows; expected #page=NUMBER")
    several = num_pages > 1 and reference.path.lower().endswith(MANY_PAGES)
    if several and reference.page is None:
        advice = f"name those of the sample, such as {reference.path}#page=1"
        return PageReport(fault=f"{reference}: holds {num_pages} pages; {advice}")
    try:
        return look(reference)
    except PageError as error:
        return PageReport(fault=str(error))


@dataclasses.dataclass(frozen=True)
class _PdfFile:
    """A page of an open PDF -> its report. It is drawn small, but for one that is to be cut."""

    pages: PdfPages
    max_pixels: int

    def __call__(self, reference: Reference) -> PageReport:
        number = reference.page or 1
        if reference.crop:
            return _report(self.pages.draw(number, TARGET_SIDE, self.max_pixels), cut=True)
        width, height = self.pages.size(number, TARGET_SIDE, self.max_pixels)
        page = self.pages.draw(number, LOOKED_AT_SIDE, self.max_pixels)
        return PageReport(width, height, perceptual_hash(page))


@dataclasses.dataclass(frozen=True)
class _PictureFile:
    """A frame of a picture file -> its report."""

    path: Path
    max_pixels: int

    def __call__(self, reference: Reference) -> PageReport:
        name, frame = str(reference), reference.page or 1
        page = open_picture(self.path, frame=frame, max_pixels=self.max_pixels, name=name)
        return _report(page, cut=reference.crop)


@dataclasses.dataclass(frozen=True)
class _FileOfRows:
    """A picture that a row holds -> its report."""

    path: Path
    max_pixels: int

    def __call__(self, reference: Reference) -> PageReport:
        if not reference.is_embedded:
            raise PageError(f"{reference}: a file of rows; expected #row=NUMBER or #line=NUMBER")
        content = embedded_bytes(self.path, reference)
        page = open_picture(content, max_pixels=self.max_pixels, name=str(reference))
        report = _report(page, cut=reference.crop)
        return dataclasses.replace(report, fingerprint=hashlib.sha256(content).hexdigest() + "#1")


def _report(page: Image.Image, cut: bool) -> PageReport:
    kept = cut_to_content(page) if cut else page
    return PageReport(kept.width, kept.height, perceptual_hash(page))
