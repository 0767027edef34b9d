"""Pages and documents as Markdown: the texts of blocks made safe, figures linked by our names.

Made for CommonMark, as GitHub and most editors show it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from urllib.parse import quote

from .figures import blocks_with_figures
from .markup import ParsedAnswer, answer_lines, located_lines, shown_text
from .notices import notice, with_numbering
from .results import ReadPage
from .safe_markdown import MarkdownStyle, safe_line, safe_markdown

LINE_BREAK = "  \n"


def page_markdown(
    answer: ParsedAnswer,
    *,
    number: int | None = 1,
    figures: str | None = "figures",
    style: MarkdownStyle | None = None,
) -> str:
    """The Markdown of page `number`, without a newline at the end.

    Its figures are linked as the files that `figure_name` names, in a folder beside the Markdown
    file called `figures`; None: they are left out.
    """
    style = style or MarkdownStyle()
    if answer.kind == "located":
        return LINE_BREAK.join(map(safe_line, located_lines(answer)))
    if answer.kind == "lines":
        return LINE_BREAK.join(filter(None, map(safe_line, answer_lines(answer))))
    pieces: list[str] = []
    for block, names in blocks_with_figures(answer, number):
        pieces += [_figure_link(figures, name) for name in names if figures is not None]
        pieces.append(safe_markdown(shown_text(block), style))
    return "\n\n".join(filter(None, pieces))


def document_markdown(pages: Iterable[ReadPage]) -> Iterator[str]:
    """The Markdown file of a document, in pieces: one of several pages has a comment before each.

    A page that could not be read, or not to its end, says so where its text would stand.
    """
    separator = ""
    for page, several in with_numbering(pages):
        title = f"<!-- page {page.number} -->" if several else ""
        said = notice(page, several)
        warning = f"> **{safe_line(said)}**" if said else ""
        text = "\n\n".join(filter(None, (title, page.markdown, warning)))
        if text:
            yield f"{separator}{text}\n"
            separator = "\n"


def _figure_link(folder: str, name: str) -> str:
    return f"![]({quote(os.fsencode(f'{folder}/{name}'), safe='/')})"
