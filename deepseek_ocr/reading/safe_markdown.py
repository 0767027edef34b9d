r"""Markdown of a model -> Markdown that shows the same and can do nothing else.

Whatever was printed on the page, or a model makes up, stands in its answer: so HTML is escaped
(tables are written anew from their cells), links lead nowhere but to the web, pictures and link
definitions are broken with a blank, fences are closed, and formulas keep to formulas. In fenced
code nothing is changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from ..data.truth.html_tables import covering_cells, parse_table, table_html
from ..data.truth.structures import Table
from .segments import Segment, segments

TableForm = Literal["html", "markdown"]
FormulaForm = Literal["dollars", "brackets"]

_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_PLAIN_TAG = re.compile(r"</?su[bp]>|<br ?/?>", re.IGNORECASE)
_CENTER = re.compile(r"</?center>", re.IGNORECASE)
_LEADS_SOMEWHERE = re.compile(r"\](?=:|\((?!https?://))")
_LINK_OR_DEFINITION = re.compile(r"\](?=[:(])")
_FENCE = re.compile(r"^( {0,3})(`{3}|~{3})", re.MULTILINE)
_LATEX_FENCE = re.compile("`{3,}|~{3,}")
_LEADS_OUT = re.compile(  # of a formula: to addresses, files, and the page's own markup
    r"\\(?=(?:href|url|includegraphics|input|include|read|write|openin|openout|immediate"
    r"|html[A-Z][a-z]+|require|cssId|class|style)(?![A-Za-z]))"
)
_FORMULA_MARK = re.compile(r"\$|\\[(\[]")  # of which viewers may know more than we
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n){2,}")
_RULE = re.compile(r"(\n[ \t]*\n)-{3,}[ \t]*$", re.MULTILINE)  # pandoc: settings follow
_FRONT_MATTER = re.compile(r"\A(?:-{3,}|\+{3})[ \t]*$", re.MULTILINE)
_EMPTY_LINES = re.compile(r"\n(?:[ \t]*+\n)++")
_BARE_DOLLAR = re.compile(r"(?<!\\)\$")
_RENAMED = {r"\coloneqq": ":=", r"\eqqcolon": "=:"}  # renderers lack them; as the released code


@dataclass(frozen=True, kw_only=True)
class MarkdownStyle:
    """How tables and formulas are written."""

    tables: Annotated[TableForm, "tables as HTML, which keeps their spans, or as pipe tables"] = (
        "html"
    )
    formulas: Annotated[FormulaForm, r"formulas between $ and $$, or \( \) and \[ \]"] = "dollars"


def safe_markdown(text: str, style: MarkdownStyle) -> str:
    """Markdown of a model -> the same with nothing in it that acts."""
    pieces: list[str] = []
    for segment in segments(text):
        written, stands_alone = _written(segment, style)
        if stands_alone:
            _strip_end(pieces)
            pieces += ["\n\n", written, "\n\n"] if pieces else [written, "\n\n"]
        elif not pieces or pieces[-1] == "\n\n":
            pieces.append(_FRONT_MATTER.sub("***", written.lstrip("\n")))
        else:
            pieces.append(written)
    return "".join(pieces).strip("\n").rstrip()


def safe_line(text: str) -> str:
    """A text that is no Markdown, on one line of it."""
    return _FRONT_MATTER.sub("***", _safe_text(" ".join(text.split())))


def _written(segment: Segment, style: MarkdownStyle) -> tuple[str, bool]:
    """The segment as Markdown, and whether it needs empty lines around it."""
    content = segment.content
    if segment.kind == "code":
        fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`{3,}", content))])
        return f"{fence}{segment.detail}\n{content}\n{fence}", True
    if segment.kind == "table":
        return _table(content, style.tables), True
    if segment.kind in ("formula", "display"):
        return _formula(segment, style.formulas), False
    return _BLANK_LINES.sub("\n\n", _RULE.sub(r"\1***", _safe_text(content))), False


def _safe_text(text: str) -> str:
    text = _CENTER.sub("", text)
    text = "".join(
        piece if index % 2 else _TAG.sub("&lt;", piece)
        for index, piece in enumerate(_split_keeping(_PLAIN_TAG, text))
    )
    if "](http" in text:
        text = text.replace("![", "! [")  # a link may stay, a picture would be fetched
    text = _LEADS_SOMEWHERE.sub("] ", _FENCE.sub(r"\1\\\2", text))  # would hide all that follows
    return _LEADS_OUT.sub(r"\\ ", text) if _FORMULA_MARK.search(text) else text


def _split_keeping(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    """What stands between matches and the matches, in turn."""
    end = 0
    for match in pattern.finditer(text):
        yield text[end : match.start()]
        yield match[0]
        end = match.end()
    yield text[end:]


def _formula(segment: Segment, form: FormulaForm) -> str:
    latex = _LINK_OR_DEFINITION.sub("] ", _TAG.sub("< ", segment.content))
    for long, short in _RENAMED.items():
        latex = latex.replace(long, short)
    latex = _LATEX_FENCE.sub(lambda run: " ".join(run[0]), _LEADS_OUT.sub(r"\\ ", latex))
    latex = _EMPTY_LINES.sub("\n", latex)
    if not latex:
        return " "  # what stands before and behind must not become a tag or a link
    if segment.kind == "formula":
        latex = " ".join(latex.split())
        if segment.detail == "$":
            return f"${latex}$"
        return rf"\({latex}\)" if form == "brackets" else f"${_escaped(latex)}$"
    return rf"\[{latex}\]" if form == "brackets" else f"$${_escaped(latex)}$$"


def _escaped(latex: str) -> str:
    return _BARE_DOLLAR.sub(r"\\$", latex)


def _table(source: str, form: TableForm) -> str:
    table = parse_table(source)
    if table is None or not table.cells:
        return _safe_text(source) if table is None else ""
    try:
        written = table_html(table) if form == "html" else _pipe_table(table)
    except ValueError:  # too many places
        return _safe_text(source)
    if form == "markdown":
        return written
    return _LEADS_OUT.sub(r"\\ ", _LINK_OR_DEFINITION.sub("] ", written))


def _pipe_table(table: Table) -> str:
    """Rows between bars, the first as heads; a cell over several places stands in the first."""
    lines = []
    for row, cells in enumerate(covering_cells(table)):
        texts = [
            cell.text if cell and (cell.row, cell.column) == (row, column) else ""
            for column, cell in enumerate(cells)
        ]
        lines.append(
            "| " + " | ".join(safe_line(text).replace("|", r"\|") for text in texts) + " |"
        )
        if row == 0:
            lines.append("|" + " --- |" * len(cells))
    return "\n".join(lines)


def _strip_end(pieces: list[str]) -> None:
    while pieces and not pieces[-1].strip():
        pieces.pop()
    if pieces:
        pieces[-1] = pieces[-1].rstrip()
