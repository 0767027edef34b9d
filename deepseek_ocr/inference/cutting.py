"""Pictures opened and cut into views, in processes of their own, ahead of the model.

A picture that crashes its decoder, hangs or takes all memory ends such a process and fails; its
neighbours and those that wait do not notice. Each process keeps the last document open, so that
page 5,000 comes as quickly as the first. Nothing here loads torch: the processes start quickly and
stay small.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..children import Answer, Blob, Children
from ..data.pages.auto_mode import choose_mode
from ..data.pages.loading import load_page
from ..data.pages.sources import PageOpener, PageSource, open_source, source_of, values_of
from ..errors import PageError
from ..pictures import MAX_PIXELS, open_picture, upright_rgb
from ..resolution import ViewSettings
from ..views import RGB, cut_views

Picture = Image.Image | np.ndarray | Path | str | bytes | PageSource
"""A picture, an array (RGB of 8 bits), a file's bytes, a path, as `a.png` or `a.pdf#page=3`, or a
page of a document."""

Choices = Mapping[str, ViewSettings]
"""Modes and their sizes, of which the page decides where there are several."""

TIME_LIMIT_S = 30
"""For the pictures of one request; the slowest honest ones take a fifth of it."""
CUT = f"{__name__}:cut_in_child"
BYTES_A_PIXEL, BYTES_BESIDE = 20, 1 << 30
"""Memory that a process may take, for each pixel of the largest picture allowed, and besides."""


@dataclasses.dataclass(frozen=True, eq=False)
class View:
    """What the model sees of one picture, 8 bits a channel.

    `overview` (B, B, 3), `tiles` (S, S, 3) each, row by row; `grid` columns and rows; `size` width
    and height in pixels of the page as it was read, turned by `turned` degrees clockwise; `mode`
    the one that was chosen.
    """

    overview: np.ndarray
    tiles: Sequence[np.ndarray]
    grid: tuple[int, int]
    size: tuple[int, int]
    mode: str
    turned: int = 0


def cut(
    pictures: Sequence[Picture], choices: Choices, margin: RGB, max_pixels: int = MAX_PIXELS
) -> list[View]:
    """The views of pictures, all in the cheapest mode in which all of them are legible.

    Raises:
        PageError: one cannot be opened.
    """
    with PageOpener() as opener:
        return _cut(pictures, choices, margin, max_pixels, opener)


def open_any(picture: Picture, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """An upright RGB page, wherever it comes from.

    Raises:
        PageError: it cannot be opened.
    """
    with PageOpener() as opener:
        return _open(picture, (), max_pixels, opener)[0]


def is_open(picture: Picture) -> bool:
    """Whether its pixels are here already."""
    return isinstance(picture, Image.Image | np.ndarray)


class Cutter:
    """Cuts pictures in `num_workers` processes; 0: in this one, when they are wanted.

    A context manager. Pictures that are open already are cut here: sending them takes as long.
    """

    def __init__(self, margin: RGB, num_workers: int = 0, max_pixels: int = MAX_PIXELS):
        self.margin, self.num_workers, self.max_pixels = margin, num_workers, max_pixels
        self._children = (
            Children(num_workers, memory_limit(max_pixels), TIME_LIMIT_S) if num_workers else None
        )

    def __enter__(self) -> Cutter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._children is not None:
            self._children.close()

    def begin(self, pictures: Sequence[Picture], choices: Choices) -> Cutting:
        """Have pictures cut; see `Cutting`."""
        if self._children is None or not pictures or any(map(is_open, pictures)):
            return Cutting(self, pictures, choices, None)
        sent, blobs = _sent(pictures)
        values = {
            "pictures": sent,
            "choices": {mode: dataclasses.asdict(each) for mode, each in choices.items()},
            "margin": self.margin,
            "max_pixels": self.max_pixels,
        }
        names = ", ".join("picture" if isinstance(p, bytes) else str(p) for p in pictures)
        answer = self._children.submit(CUT, values, blobs, name=names)
        return Cutting(self, pictures, choices, answer)


class Cutting:
    """Pictures on their way to views."""

    def __init__(
        self,
        cutter: Cutter,
        pictures: Sequence[Picture],
        choices: Choices,
        answer: Future[Answer] | None,
    ):
        self._cutter, self._pictures, self._choices = cutter, pictures, choices
        self._answer = answer

    def is_ready(self) -> bool:
        """Whether `views` need not wait for a process."""
        return self._answer is None or self._answer.done()

    def views(self) -> list[View]:
        """The views of all pictures.

        Raises:
            PageError: one cannot be opened, or ends the process that tries.
        """
        if self._answer is None:
            cutter = self._cutter
            return cut(self._pictures, self._choices, cutter.margin, cutter.max_pixels)
        try:
            described, blobs = self._answer.result()
        except CancelledError:
            raise PageError("the reading was interrupted") from None
        return [
            _view_of(view, *blobs[2 * place : 2 * place + 2])
            for place, view in enumerate(described)
        ]


def memory_limit(max_pixels: int) -> int:
    """Bytes that a process may take which opens pictures of up to so many pixels."""
    return max_pixels * BYTES_A_PIXEL + BYTES_BESIDE


_KEPT = PageOpener()  # of the process that `cut_in_child` runs in; holds nothing until then


def cut_in_child(values: Any, blobs: list[bytes]) -> tuple[Any, list[Blob]]:
    """As `cut`, in a child: two blobs a picture, its overview and its tiles."""
    choices = {mode: ViewSettings(**sizes) for mode, sizes in values["choices"].items()}
    red, green, blue = values["margin"]
    pictures = _received(values["pictures"], blobs)
    views = _cut(pictures, choices, (red, green, blue), values["max_pixels"], _KEPT)
    described: list[Any] = []
    sent: list[Blob] = []
    for view in views:
        described.append([view.grid, view.size, view.mode, view.turned, view.overview.shape[0]])
        tiles = np.stack(view.tiles) if view.tiles else np.empty(0, np.uint8)
        sent += [view.overview.reshape(-1).data, tiles.reshape(-1).data]
    return described, sent


def _view_of(described: Any, overview: bytes, tiles: bytes) -> View:
    (columns, rows), (width, height), mode, turned, side = described
    count = columns * rows if tiles else 0
    pixels = np.frombuffer(tiles, np.uint8)
    size = round((len(pixels) / (3 * count)) ** 0.5) if count else 0
    return View(
        overview=np.frombuffer(overview, np.uint8).reshape(side, side, 3),
        tiles=list(pixels.reshape(count, size, size, 3)) if count else [],
        grid=(columns, rows),
        size=(width, height),
        mode=mode,
        turned=turned,
    )


def _cut(
    pictures: Sequence[Picture],
    choices: Choices,
    margin: RGB,
    max_pixels: int,
    opener: PageOpener,
) -> list[View]:
    opened = [_open(picture, list(choices.values()), max_pixels, opener) for picture in pictures]
    mode = choose_mode([page for page, _ in opened], choices)
    views = []
    for page, turned in opened:
        overview, tiles, grid = cut_views(page, choices[mode], margin)
        arrays = [np.array(tile) for tile in tiles]
        views.append(View(np.array(overview), arrays, grid, page.size, mode, turned))
    return views


def _open(
    picture: Picture, settings: Sequence[ViewSettings], max_pixels: int, opener: PageOpener
) -> tuple[Image.Image, int]:
    """The page, and the degrees by which it was turned."""
    if isinstance(picture, PageSource):
        return open_source(picture, opener, settings)
    if isinstance(picture, np.ndarray):
        picture = Image.fromarray(picture)
    if isinstance(picture, Image.Image):
        return upright_rgb(picture), 0
    if isinstance(picture, bytes):
        return open_picture(picture, max_pixels=max_pixels), 0
    path = Path(picture).resolve()
    return load_page(path.parent, path.name, max_pixels=max_pixels), 0


def _sent(pictures: Sequence[Picture]) -> tuple[list[Any], list[Blob]]:
    """Pictures as values and blobs; the inverse of `_received`."""
    values: list[Any] = []
    blobs: list[Blob] = []
    for picture in pictures:
        if isinstance(picture, bytes):
            values.append(None)
            blobs.append(picture)
        elif isinstance(picture, PageSource):
            values.append(values_of(picture))
        else:
            values.append(str(Path(picture).absolute()))  # type: ignore[arg-type]
    return values, blobs


def _received(values: Sequence[Any], blobs: Sequence[bytes]) -> list[Picture]:
    given = iter(blobs)
    pictures: list[Picture] = []
    for value in values:
        if value is None:
            pictures.append(next(given))
        else:
            pictures.append(value if isinstance(value, str) else source_of(value))
    return pictures
