r"""A page of Markdown taken apart: its tables, formulas and paragraphs, each with its place.

The rules are those of OmniDocBench v1.5: pictures and fences go; then LaTeX tables, HTML tables,
formulas (`$$...$$`, `\[...\]`; inline ones are listed and also stay in their paragraph), Markdown
tables as HTML; what remains is cut at empty lines. Our own is that places are those in the text.
Markdown tables are read as GitHub does, and runs of lines between two `|` without a ruler, too.

Texts come from a model: everything here is linear in their length but a few patterns that look no
further than a line.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Literal

from .cleaning import delimited

Kind = Literal["text", "formula", "inline formula", "table", "latex table"]

MAX_LENGTH = 1_000_000
"""Characters of a page that are read."""

MAX_BLOCKS = 2_000
"""Blocks of one page that are matched; what comes after is left out."""

FORMULAS = {"$$": "$$", r"\[": r"\]", "$": "$", r"\(": r"\)"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Block:
    """A part of a page. `place`: where it begins, in any unit that grows along the page.

    `content` is text, LaTeX or HTML, as `kind` says.
    """

    kind: Kind
    content: str
    place: float


def split_blocks(markdown: str) -> list[Block]:
    """The blocks of a page in the order of their places."""
    text = _without_decoration(markdown[:MAX_LENGTH])
    blocks: list[Block] = []
    text = _take(text, blocks, "latex table", _outermost(text, _LATEX_TABLE))
    text = _take(text, blocks, "table", _outermost(text, _HTML_TABLE))
    text = _take_formulas(text, blocks)
    text = _take_pipe_tables(text, blocks)
    blocks += _paragraphs(_without_commands(text))
    return sorted(blocks, key=lambda block: block.place)[:MAX_BLOCKS]


# Images keep no trace; the closing fence of any language goes, as published.
_IMAGE = re.compile(r"!\[[^\]\n]{0,1000}\]\([^)\n]{0,1000}\)")
_FENCE = re.compile(r"^```(?:markdown|html|latex)\n?|```\n?$", re.MULTILINE)
_PAGE = re.compile(r"</?(?:html|body)>")
_COMMAND = re.compile(r"\\(?:title|text|section\*?)\s*\{([^{}]*)\}")

# What opens and what closes.
_LATEX_TABLE = re.compile(r"(\\begin\{table\*?\}|\\begin\{tabular\})|\\end\{(?:table\*?|tabular)\}")
_HTML_TABLE = re.compile(r"(<table\b[^<>]*>)|</table>", re.IGNORECASE)


def _without_decoration(text: str) -> str:
    text = _FENCE.sub("", _IMAGE.sub("", text.replace("\r\n", "\n")))
    text = re.sub(r"_{4,}", "____", text)
    return _PAGE.sub("", re.sub(r" {4,}", "    ", text))


def _without_commands(text: str) -> str:
    return _COMMAND.sub(lambda match: match[1].strip(), text)


def _take(text: str, blocks: list[Block], kind: Kind, spans: list[tuple[int, int]]) -> str:
    """Adds blocks for these parts of the text, and returns it with blanks in their place."""
    for start, end in spans:
        blocks.append(Block(kind=kind, content=text[start:end], place=start))
    return _blanked(text, spans)


def _blanked(text: str, spans: list[tuple[int, int]]) -> str:
    pieces, last = [], 0
    for start, end in spans:
        pieces += [text[last:start], " " * (end - start)]
        last = end
    return "".join([*pieces, text[last:]])


def _outermost(text: str, marks: re.Pattern[str]) -> list[tuple[int, int]]:
    """Parts from an opening mark to its closing one that lie in no other such part.

    What is opened and never closed is no part.
    """
    opened: list[int] = []
    closed: list[tuple[int, int]] = []
    for mark in marks.finditer(text):
        if mark[1]:
            opened.append(mark.start())
        elif opened:
            start = opened.pop()
            while closed and closed[-1][0] > start:
                closed.pop()
            closed.append((start, mark.end()))
    return closed


def _take_formulas(text: str, blocks: list[Block]) -> str:
    display = []
    for start, end, content in delimited(text, FORMULAS):
        latex = " ".join(content.strip().split("\n"))
        if text.startswith(("$$", r"\["), start) and end - start >= 4:
            display.append((start, end))
            if latex.strip():
                blocks.append(Block(kind="formula", content=latex, place=start))
        elif latex.strip():
            blocks.append(Block(kind="inline formula", content=latex, place=start))
    return _blanked(text, display)


def _take_pipe_tables(text: str, blocks: list[Block]) -> str:
    lines = text.split("\n")
    places = [0]
    for line in lines:
        places.append(places[-1] + len(line) + 1)
    spans = []
    for first, last in _pipe_tables(lines):
        content = pipe_table_html(lines[first:last])
        blocks.append(Block(kind="table", content=content, place=places[first]))
        spans.append((places[first], places[last] - 1))
    return _blanked(text, spans)


def _is_ruler(line: str) -> bool:
    return "|" in line and "-" in line and set(line) <= set(" \t|:-")


def _between_pipes(line: str) -> bool:
    stripped = line.strip()
    return len(stripped) > 1 and stripped[0] == stripped[-1] == "|"


def _pipe_tables(lines: list[str]) -> Iterator[tuple[int, int]]:
    """First line and line after the last of every Markdown table."""
    number = 0
    while number + 1 < len(lines):
        if "|" in lines[number] and _is_ruler(lines[number + 1]):
            belongs = _has_pipe
        elif _between_pipes(lines[number]) and _between_pipes(lines[number + 1]):
            belongs = _between_pipes
        else:
            number += 1
            continue
        end = number + 2
        while end < len(lines) and belongs(lines[end]):
            end += 1
        yield number, end
        number = end


def _has_pipe(line: str) -> bool:
    return "|" in line


def pipe_table_html(lines: list[str]) -> str:
    """The lines of a Markdown table as an HTML table; rulers go."""
    rows = []
    for number, line in enumerate(lines):
        if number > 0 and _is_ruler(line):
            continue
        stripped = line.strip().removeprefix("|")
        cells = re.split(r"(?<!\\)\|", stripped[:-1] if stripped.endswith("|") else stripped)
        texts = (cell.strip().replace(r"\|", "|") for cell in cells)
        rows.append("<tr>" + "".join(f"<td>{text}</td>" for text in texts) + "</tr>")
    return f"<table>{''.join(rows)}</table>"


def _paragraphs(text: str) -> Iterator[Block]:
    """What lies between empty lines; where there are none, every line."""
    separator = "\n\n" if "\n\n" in text else "\n"
    place = 0
    for part in text.split(separator):
        lines = (line.strip() for line in part.split("\n"))
        content = "\n".join(line for line in lines if line)
        if content:
            yield Block(kind="text", content=content, place=place + len(part) - len(part.lstrip()))
        place += len(part) + len(separator)
