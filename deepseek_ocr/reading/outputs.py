"""The files of a document, written from its kept pages: whole or not at all, page by page.

The same pages and settings give the same bytes. Nothing of a document is held but one page.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from ..files import replacing
from .config import ReadConfig
from .documents import Document
from .folder import JobFolder
from .kept_pages import KeptPages
from .opening import open_page
from .rendering import Renderer
from .results import ReadPage
from .work import Work, page_source

_OWN_PICTURE = re.compile(r"p\d{4,10}(?:-\d{1,9})?\.png")
FIGURES, BOXES = "figures", "boxes"


class Outputs:
    """Writes the files of documents, and knows which are there."""

    def __init__(self, config: ReadConfig, folder: JobFolder, password: str | None):
        self.config, self.folder, self.password = config, folder, password

    def paths(self, work: Work) -> list[Path]:
        """The files of a document, one a format."""
        return [self.folder.out / f"{work.name}.{kind}" for kind in self.config.formats]

    def are_written(self, work: Work) -> bool:
        """Whether the document's files are there and hold what its pages last said."""
        is_current = self.folder.catalogue.written(work.name) == self._state(work)
        return is_current and all(path.is_file() for path in self.paths(work))

    def _state(self, work: Work) -> dict[str, Any]:
        """What the files of a document are written from."""
        path = self.folder.kept_pages(work.fingerprint).path
        return {
            "fingerprint": work.fingerprint,
            "settings": self.config.rendering(),
            "pages": self.config.pages,
            "num_bytes": path.stat().st_size if path.exists() else 0,
        }

    def write(self, work: Work, kept: KeptPages) -> None:
        """Write the files of a document whose pages have all ended, and are kept.

        Raises:
            PageError: a page's picture is wanted and cannot be opened any more.
        """
        kept.refresh()
        state = self._state(work)
        (self.folder.out / work.name).parent.mkdir(parents=True, exist_ok=True)
        renderer = Renderer(self.config, figures=self._pictures(work, FIGURES).name)
        self._write_pictures(work, renderer, kept.pages(work.numbers))

        for path, kind in zip(self.paths(work), self.config.formats, strict=True):
            with replacing(path) as temporary, temporary.open("wb") as file:
                self._write(file, kind, work, renderer, kept.pages(work.numbers))
        self.folder.catalogue.set_written(work.name, state)

    def _write(
        self,
        file: BinaryIO,
        kind: str,
        work: Work,
        renderer: Renderer,
        pages: Iterator[ReadPage],
    ) -> None:
        """One of a document's files."""
        source = work.document.source
        if kind == "pdf":
            renderer.write_pdf(
                file, pages, source=source, open_page=lambda page: self._open(work, page)
            )
            return
        figures = self._pictures(work, FIGURES)

        def figure(name: str) -> bytes | None:
            path = figures / name
            return path.read_bytes() if path.is_file() else None

        prompt = self.folder.catalogue.prompt(work.fingerprint)
        for piece in renderer.pieces(kind, pages, source=source, prompt=prompt, figure=figure):
            file.write(piece.encode("utf-8", "backslashreplace"))

    def _open(self, work: Work, page: ReadPage) -> Image.Image:
        return picture_of(work.document, page, self.config, self.password)

    # --- pictures -----------------------------------------------------------------------------

    def _pictures(self, work: Work, kind: str) -> Path:
        return self.folder.out / f"{work.name}.{kind}"

    def _write_pictures(self, work: Work, renderer: Renderer, pages: Iterable[ReadPage]) -> None:
        """Figures, cut out of their pages, and pages with their regions drawn, as asked for."""
        written: dict[str, set[str]] = {FIGURES: set(), BOXES: set()}
        for page in pages:
            if not renderer.wants_picture(page):
                continue
            picture = self._open(work, page)
            for name, figure in renderer.figures_of(page, picture):
                written[FIGURES].add(name)
                self._save(figure, self._pictures(work, FIGURES) / name)
            if self.config.show_boxes:
                name = f"p{page.number:04d}.png"
                written[BOXES].add(name)
                self._save(renderer.with_boxes(page, picture), self._pictures(work, BOXES) / name)
        for kind, names in written.items():
            _remove_others(self._pictures(work, kind), names)

    def _save(self, picture: Image.Image, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as temporary:
            picture.save(temporary, format="PNG")


def picture_of(
    document: Document, page: ReadPage, config: ReadConfig, password: str | None
) -> Image.Image:
    """The picture of a page as it was read: drawn as large, and turned as it was.

    Raises:
        PageError: it cannot be opened any more.
    """
    source = page_source(document, page.number or 1, config, password)
    turn = str(page.turned) if page.turned else "none"
    turned = dataclasses.replace(source, rotation=turn)  # type: ignore[arg-type]
    return open_page(turned, size=(page.width, page.height) if page.width else None)


def _remove_others(folder: Path, names: set[str]) -> None:
    """Delete the pictures of an earlier reading that this one has not made."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if _OWN_PICTURE.fullmatch(path.name) and path.name not in names and path.is_file():
            path.unlink()
    if not any(folder.iterdir()):
        shutil.rmtree(folder, ignore_errors=True)
