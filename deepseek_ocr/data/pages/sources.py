"""A page of a file that a user named, and how it is opened: drawn, upright, on white.

The pages of a PDF are its pages, those of a TIFF its frames. Any other picture is one page: of an
animation, or of several pictures in one JPEG file, the first.
"""

from __future__ import annotations

import contextlib
import dataclasses
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from ...errors import PageError
from ...pictures import MAX_PIXELS, OpenPicture, is_picture, opened_picture
from ...resolution import ViewSettings, choose_tile_grid
from .loading import TARGET_SIDE
from .pdf import POINTS_AN_INCH, PdfPages, opened_pdf
from .rotation import find_rotation

Rotation = Literal["none", "auto", "90", "180", "270"]
"""How a page is turned, in degrees clockwise; `auto`: until its letters stand upright."""

TURNS = {
    90: Image.Transpose.ROTATE_270,  # Pillow counts against the clock
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_90,
}
PDF_MARK, PDF_MARK_WITHIN = b"%PDF-", 1024  # bytes from the beginning, as other readers allow
MANY_PAGES, LEAST_PAGE_BYTES = 1000, 4
"""A PDF that says it has so many pages must have so many bytes for each."""
PAGES_AT_ONCE = 200
"""After which a file is opened anew: what PDFium keeps of pages is freed only with the file."""
MOST_STRETCH = 2  # of the largest view, by which a page of extreme shape is drawn larger


@dataclasses.dataclass(frozen=True, kw_only=True)
class PageSource:
    """One page, to be opened by whichever process needs it.

    `page` counts from 1; `name` is what errors call the file. A page of a PDF is drawn at `dpi`,
    else as large as its reader can use.
    """

    path: Path
    page: int = 1
    name: str
    password: str | None = dataclasses.field(default=None, repr=False)
    rotation: Rotation = "none"
    dpi: float | None = None
    max_pixels: int = MAX_PIXELS

    def __str__(self) -> str:
        return self.name if self.page == 1 else f"{self.name}#page={self.page}"


def values_of(source: PageSource) -> dict[str, Any]:
    """A source as JSON knows it, for other processes."""
    return dataclasses.asdict(source) | {"path": str(source.path.absolute())}


def source_of(values: Mapping[str, Any]) -> PageSource:
    """The inverse of `values_of`."""
    return PageSource(**{**values, "path": Path(values["path"])})


class PageOpener:
    """Opens pages, and keeps the last file open, so that page n takes no longer than the first.

    A context manager, for one thread: no other may open a PDF until it ends.
    """

    def __init__(self) -> None:
        self._file: PdfPages | OpenPicture | None = None
        self._stack = contextlib.ExitStack()
        self._key: tuple[Any, ...] = ()
        self._num_opened = 0

    def __enter__(self) -> PageOpener:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file that is kept."""
        self._stack.close()
        self._file, self._key = None, ()

    def num_pages(self, source: PageSource) -> int:
        """How many pages the file of a source has.

        Raises:
            PageError: it cannot be opened.
        """
        with self._closed_on_error():
            file = self._opened(source)
            if isinstance(file, PdfPages):
                _check_count(len(file), source)
                return len(file)
            return file.num_frames if file.format == "TIFF" else 1

    def page(self, source: PageSource, target_side: int) -> Image.Image:
        """The page as RGB, not turned; of a PDF, its longer side has `target_side` pixels.

        Raises:
            PageError: it cannot be opened.
        """
        with self._closed_on_error():
            file = self._opened(source)
            if isinstance(file, PdfPages):
                return file.draw(source.page, target_side, source.max_pixels)
            page = file.frame(source.page)
        if file.format != "TIFF":
            self.close()  # there is no other page, and it holds its pixels
        return page

    def points(self, source: PageSource) -> tuple[float, float] | None:
        """Width and height of a page of a PDF in points; None of a picture.

        Raises:
            PageError: it cannot be opened.
        """
        with self._closed_on_error():
            file = self._opened(source)
            return file.points(source.page) if isinstance(file, PdfPages) else None

    @contextlib.contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        """What broke on one page should not break the next."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _opened(self, source: PageSource) -> PdfPages | OpenPicture:
        key = (source.path, source.password, source.max_pixels, _state(source))
        if self._file is None or key != self._key or self._num_opened >= PAGES_AT_ONCE:
            self.close()
            self._file = self._stack.enter_context(_open(source))
            self._key, self._num_opened = key, 0
        self._num_opened += 1
        return self._file


def open_source(
    source: PageSource, opener: PageOpener, settings: Iterable[ViewSettings]
) -> tuple[Image.Image, int]:
    """The page as RGB, upright, and the degrees clockwise by which it was turned.

    A page of a PDF is drawn at its `dpi`, or as large as the largest of `settings` can use.

    Raises:
        PageError: it cannot be opened.
    """
    points = opener.points(source)
    return _turned(opener.page(source, _target_side(source, points, settings)), source.rotation)


def open_as_read(
    source: PageSource, opener: PageOpener, size: tuple[int, int] | None
) -> tuple[Image.Image, int]:
    """As `open_source`; a page of a PDF so large as it was when it was read.

    Raises:
        PageError: it cannot be opened.
    """
    target_side = max(size) if size else _target_side(source, opener.points(source), ())
    return _turned(opener.page(source, target_side), source.rotation)


def useful_side(width: float, height: float, settings: ViewSettings) -> int:
    """Pixels of the longer side of a page of this shape, all of which the views can use."""
    longer, shorter = max(width, height), min(width, height)
    scale = settings.base_size / (shorter if settings.distort else longer)
    largest = settings.base_size
    size = settings.tile_size
    if size is not None and settings.max_tiles >= settings.min_tiles:
        # a page of this shape, so large that size decides nothing
        enlarged = settings.max_tiles * size / shorter
        columns, rows = choose_tile_grid(
            round(width * enlarged),
            round(height * enlarged),
            size,
            settings.max_tiles,
            settings.min_tiles,
        )
        scale = max(scale, columns * size / width, rows * size / height)
        largest = max(largest, columns * size, rows * size)
    return max(1, min(round(longer * scale), MOST_STRETCH * largest))


def _target_side(
    source: PageSource, points: tuple[float, float] | None, settings: Iterable[ViewSettings]
) -> int:
    if points is None:
        return TARGET_SIDE  # a picture has the pixels that it has
    if source.dpi is not None:
        return max(1, round(max(points) * source.dpi / POINTS_AN_INCH))
    return max((useful_side(*points, each) for each in settings), default=TARGET_SIDE)


def _turned(page: Image.Image, rotation: Rotation) -> tuple[Image.Image, int]:
    degrees = 0
    if rotation == "auto":
        degrees = find_rotation(page)
    elif rotation != "none":
        degrees = int(rotation)
    return (page.transpose(TURNS[degrees]) if degrees else page), degrees


def _open(source: PageSource) -> contextlib.AbstractContextManager[PdfPages | OpenPicture]:
    if _is_pdf(source.path):
        return opened_pdf(source.path, source.name, source.password)
    return opened_picture(source.path, max_pixels=source.max_pixels, name=source.name)


def _is_pdf(path: Path) -> bool:
    """By what it holds; where that is nothing known, by its name."""
    beginning = b""
    with contextlib.suppress(OSError), path.open("rb") as file:  # opening it tells the reason
        beginning = file.read(PDF_MARK_WITHIN)
    if is_picture(beginning):
        return False
    return PDF_MARK in beginning or path.suffix.lower() == ".pdf"


def _check_count(num_pages: int, source: PageSource) -> None:
    """What a file says may be any number."""
    num_bytes = source.path.stat().st_size
    if num_pages >= MANY_PAGES and num_bytes < LEAST_PAGE_BYTES * num_pages:
        raise PageError(
            f"{source.name}: says that it has {num_pages} pages, more than its {num_bytes} bytes "
            "can hold; replace the file"
        )


def _state(source: PageSource) -> tuple[int, int]:
    """What changes when another file takes the place of one.

    Raises:
        PageError: there is no such file.
    """
    try:
        found = source.path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a valid file name"
        raise PageError(f"{source.name}: cannot be read ({reason})") from None
    if not stat.S_ISREG(found.st_mode):  # a pipe or a device would be read for ever
        raise PageError(f"{source.name}: is not a file; expected a picture or a PDF")
    return found.st_mtime_ns, found.st_size
