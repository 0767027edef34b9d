"""An answer as plain text: no marks, no boxes; tables as lines with tabs between their cells."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator

from ..data.truth.html_tables import covering_cells, parse_table
from .markup import ParsedAnswer, answer_lines, located_lines, parse_answer, shown_text
from .notices import notice, with_numbering
from .results import ReadPage
from .segments import Segment, segments

PAGE_BREAK = "\f"
"""Stands between pages, as in the output of `pdftotext` and Tesseract."""

_TAG = re.compile(r"</?(?:su[bp]|center|br ?/?|[biu]|em|strong)>", re.IGNORECASE)
_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+", re.MULTILINE)
_STRONG = re.compile(r"(\*\*|__)(?=\S)([^*_\n]{1,500}+)(?<=\S)\1")
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n){2,}")


def page_text(answer: ParsedAnswer) -> str:
    """The text of a page without Markdown's marks; formulas stay LaTeX. No newline at the end."""
    if answer.kind == "located":
        return "\n".join(located_lines(answer))
    if answer.kind == "lines":
        return "\n".join(filter(str.strip, answer_lines(answer)))
    return "\n\n".join(filter(None, (plain_text(shown_text(block)) for block in answer.blocks)))


def document_text(pages: Iterable[ReadPage]) -> Iterator[str]:
    """The text file of a document, in pieces; a form feed stands between its pages.

    A page that could not be read, or not to its end, says so in brackets.
    """
    separator = ""
    for page, several in with_numbering(pages):
        answer = parse_answer(page.text, (page.width, page.height), prompt=page.prompt)
        said = notice(page, several)
        text = "\n\n".join(filter(None, (page_text(answer), f"[{said}]" if said else "")))
        yield f"{separator}{text}\n" if text else separator
        separator = PAGE_BREAK


def plain_text(markdown: str) -> str:
    """Markdown of a model without its marks."""
    return "".join(map(_plain, segments(markdown))).strip("\n").rstrip()


def _plain(segment: Segment) -> str:
    if segment.kind == "table":
        return f"\n{table_lines(segment.content)}\n"
    if segment.kind == "code":
        return f"{segment.content}\n"
    if segment.kind != "text":
        return segment.content
    text = _TAG.sub("", segment.content)
    text = _STRONG.sub(r"\2", _HEADING.sub("", text))
    return html.unescape(_BLANK_LINES.sub("\n\n", text))


def table_lines(source: str) -> str:
    """An HTML table as a line a row, tabs between cells; as it is where it is none."""
    table = parse_table(source)
    if table is None:
        return source
    try:
        rows = covering_cells(table)
    except ValueError:  # too many places
        return source
    return "\n".join(
        "\t".join(
            " ".join(cell.text.split()) if cell and (cell.row, cell.column) == (row, column) else ""
            for column, cell in enumerate(cells)
        )
        for row, cells in enumerate(rows)
    )
