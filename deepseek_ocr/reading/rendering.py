"""From kept answers to a document's files: which writer makes what, with which settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO

from PIL import Image

from .config import ReadConfig
from .drawn_boxes import with_boxes
from .figures import cut_figures, figure_boxes
from .json_document import document_json
from .markdown import MarkdownStyle, document_markdown, page_markdown
from .markup import ParsedAnswer, parse_answer
from .results import ReadPage
from .text import document_text

if TYPE_CHECKING:
    from .html import FigureBytes

OpenPage = Callable[[ReadPage], Image.Image]
"""The picture of a page as it was read."""


class Renderer:
    """Writes documents as `config` asks.

    Args:
        figures: name of the folder, beside the document's files, that figures are linked in; None:
            they are left out.
    """

    def __init__(self, config: ReadConfig, figures: str | None = None):
        self.config, self.figures = config, figures
        self.style = MarkdownStyle(tables=config.tables, formulas=config.formulas)

    def page(self, page: ReadPage) -> ReadPage:
        """A page with what is computed from its answer: Markdown and regions."""
        answer = parsed(page)
        markdown = page_markdown(answer, number=page.number, figures=self.figures, style=self.style)
        return dataclasses.replace(page, markdown=markdown, regions=answer.regions)

    def pieces(
        self,
        kind: str,
        kept: Iterable[ReadPage],
        *,
        source: str,
        prompt: str = "",
        figure: FigureBytes = lambda name: None,
    ) -> Iterator[str]:
        """A document as `md`, `json`, `html` or `txt`, in pieces.

        Args:
            prompt: what its pages were asked, at first.
            figure: name of a figure -> its PNG file, if there is one.
        """
        pages: Iterator[ReadPage] = map(self.page, kept)
        if kind == "md":
            return document_markdown(pages)
        if kind == "txt":
            return document_text(pages)
        if kind == "json":
            model = self.config.model_path
            return document_json(pages, source=source, model=model, prompt=prompt)
        if kind == "html":
            from .html import document_html  # here: few jobs need what it needs

            return document_html(pages, title=source, figure=figure)
        raise ValueError(f"unknown format {kind!r}")

    def write_pdf(
        self, file: BinaryIO, kept: Iterable[ReadPage], *, source: str, open_page: OpenPage
    ) -> None:
        """A document as a PDF that can be searched.

        Raises:
            PageError: the picture of a page that was read cannot be opened any more.
        """
        from .searchable_pdf import write_searchable_pdf  # here, as above

        write_searchable_pdf(file, kept, open_picture=open_page, title=source)

    # --- pictures -----------------------------------------------------------------------------

    def wants_picture(self, page: ReadPage) -> bool:
        """Whether files are made of the page's picture."""
        if not page.width:
            return False
        return self.config.show_boxes or bool(figure_boxes(parsed(page)))

    def figures_of(self, page: ReadPage, picture: Image.Image) -> Iterator[tuple[str, Image.Image]]:
        """File names of the page's figures, and the figures."""
        return cut_figures(parsed(page), picture, number=page.number)

    def with_boxes(self, page: ReadPage, picture: Image.Image) -> Image.Image:
        """The page with its regions drawn."""
        return with_boxes(picture, parsed(page).regions)


def parsed(page: ReadPage) -> ParsedAnswer:
    """The parts of a page's answer."""
    return parse_answer(page.text, (page.width, page.height), prompt=page.prompt)
