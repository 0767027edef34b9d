"""Pictures opened and cut into views, in processes of their own, ahead of the model.

A picture that crashes its decoder, hangs or takes all memory ends such a process; another is
started, and what was under way there is tried once more, each in a process of its own, so that only
the culprit fails. Nothing here loads torch: the processes start quickly and stay small.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import resource
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from ..data.pages.loading import load_page
from ..errors import PageError
from ..pictures import MAX_PIXELS, open_picture, upright_rgb
from ..resolution import ViewSettings
from ..views import RGB, cut_views

Picture = Image.Image | np.ndarray | Path | str | bytes
"""A picture, an array (RGB of 8 bits), a file's bytes, or a path, as `a.png` or `a.pdf#page=3`."""

TIME_LIMIT_S = 60
"""For the pictures of one request; the slowest honest ones take a tenth of it."""
BYTES_A_PIXEL, BYTES_BESIDE = 20, 1 << 30
"""Memory that a process may take, for each pixel of the largest picture allowed, and besides."""


@dataclasses.dataclass(frozen=True, eq=False)
class View:
    """What the model sees of one picture, 8 bits a channel.

    `overview` (B, B, 3), `tiles` (S, S, 3) each, row by row; `grid` columns and rows.
    """

    overview: np.ndarray
    tiles: list[np.ndarray]
    grid: tuple[int, int]


def cut(
    pictures: Sequence[Picture], settings: ViewSettings, margin: RGB, max_pixels: int = MAX_PIXELS
) -> list[View]:
    """The views of pictures.

    Raises:
        PageError: one cannot be opened.
    """
    views = []
    for picture in pictures:
        overview, tiles, grid = cut_views(open_any(picture, max_pixels), settings, margin)
        views.append(View(np.array(overview), [np.array(tile) for tile in tiles], grid))
    return views


def open_any(picture: Picture, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """An upright RGB page, wherever it comes from.

    Raises:
        PageError: it cannot be opened.
    """
    if isinstance(picture, np.ndarray):
        picture = Image.fromarray(picture)
    if isinstance(picture, Image.Image):
        return upright_rgb(picture)
    if isinstance(picture, bytes):
        return open_picture(picture, max_pixels=max_pixels)
    path = Path(picture).resolve()
    return load_page(path.parent, path.name, max_pixels=max_pixels)


def is_open(picture: Picture) -> bool:
    """Whether its pixels are here already."""
    return isinstance(picture, Image.Image | np.ndarray)


class Cutter:
    """Cuts pictures in `num_workers` processes; 0: in this one, when they are wanted.

    A context manager. Pictures that are open already are cut here: sending them takes as long.
    """

    def __init__(self, margin: RGB, num_workers: int = 0, max_pixels: int = MAX_PIXELS):
        self.margin, self.num_workers, self.max_pixels = margin, num_workers, max_pixels
        self._pool = self._new_pool(num_workers) if num_workers else None

    def __enter__(self) -> Cutter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def begin(self, pictures: Sequence[Picture], settings: ViewSettings) -> Cutting:
        """Have pictures cut; see `Cutting`."""
        if self._pool is None or not pictures or any(map(is_open, pictures)):
            return Cutting(self, pictures, settings, None)
        return Cutting(self, pictures, settings, self._submit(pictures, settings))

    def cut_alone(self, pictures: Sequence[Picture], settings: ViewSettings) -> list[View]:
        """In a process that no other picture can end.

        Raises:
            PageError: a picture cannot be opened, or ends this process, too.
        """
        with self._new_pool(1) as pool:
            try:
                return pool.submit(
                    _cut_in_time, pictures, settings, self.margin, self.max_pixels
                ).result()
            except BrokenExecutor:
                names = ", ".join("picture" if isinstance(p, bytes) else str(p) for p in pictures)
                raise PageError(
                    f"{names}: the decoder crashed on it, hung or ran out of memory; replace the "
                    "file"
                ) from None

    def _submit(
        self, pictures: Sequence[Picture], settings: ViewSettings
    ) -> Future[list[View]] | None:
        assert self._pool is not None
        task = partial(_cut_in_time, pictures, settings, self.margin, self.max_pixels)
        try:
            return self._pool.submit(task)
        except BrokenExecutor:
            self._pool.shutdown(wait=False)
            self._pool = self._new_pool(self.num_workers)
            return self._pool.submit(task)

    def _new_pool(self, num_workers: int) -> ProcessPoolExecutor:
        # spawned, not forked: a fork of a process that runs a model's threads can hang
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(num_workers, context, _start_worker, (self.max_pixels,))


class Cutting:
    """Pictures on their way to views."""

    def __init__(
        self,
        cutter: Cutter,
        pictures: Sequence[Picture],
        settings: ViewSettings,
        future: Future[list[View]] | None,
    ):
        self._cutter, self._pictures, self._settings = cutter, pictures, settings
        self._future = future

    def is_ready(self) -> bool:
        """Whether `views` need not wait for a process."""
        return self._future is None or self._future.done()

    def views(self) -> list[View]:
        """The views of all pictures.

        Raises:
            PageError: one cannot be opened.
        """
        if self._future is None:
            cutter = self._cutter
            return cut(self._pictures, self._settings, cutter.margin, cutter.max_pixels)
        try:
            return self._future.result()
        except BrokenExecutor:  # these pictures, or a neighbour's, ended the process
            return self._cutter.cut_alone(self._pictures, self._settings)


def _cut_in_time(
    pictures: Sequence[Picture], settings: ViewSettings, margin: RGB, max_pixels: int
) -> list[View]:
    """As `cut`; the system ends this process if it takes too long."""
    signal.alarm(TIME_LIMIT_S)
    try:
        return cut(pictures, settings, margin, max_pixels)
    finally:
        signal.alarm(0)


def _start_worker(max_pixels: int) -> None:
    """Interrupts are the parent's to answer; memory is limited; it ends when its parent has."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the system ends the process by itself
    threading.Thread(target=_end_with_parent, daemon=True).start()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no files of a process that crashes
    limit = max_pixels * BYTES_A_PIXEL + BYTES_BESIDE
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    if most == resource.RLIM_INFINITY or limit < most:
        with contextlib.suppress(ValueError, OSError):  # not every system keeps such a limit
            resource.setrlimit(resource.RLIMIT_DATA, (limit, most))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
