"""Structured truth (tables, forms, formulas, labelled blocks) as the answer that a model learns.

| block | `text` | `markdown` | `json` |
|---|---|---|---|
| text | as it is | the same, by label: `# title`, `## section`, `- list` | `{"text", "label"}` |
| formula | LaTeX | `\\[LaTeX\\]` | `{"formula"}` |
| table | rows as lines, tabs between cells | HTML, `<table><tr><td>` | `{"table": rows, "spans"}` |
| fields | `key: value`, a line each | the same as a list | the value itself |

Blocks are a blank line apart. In JSON several blocks are a list, where fields are `{"fields"}`; a
single one stands for itself. Captions are in `<center>`. A cell over several rows or columns has
its text in the first place; `spans` lists those cells as [row, column, rows, columns]. A row whose
format tells no structure keeps its text for `text` and `markdown`.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from ..annotations import Annotation
from ..dataset_config import Target
from ..json_files.numbers import json_text
from ..problems import Problem
from .html_tables import covering_cells, table_html
from .normalization import normalize_annotation
from .structures import Block, Fields, Formula, Table, TextBlock

KIND = "not possible as --target"

_LEVELS = {
    **dict.fromkeys(("title", "doctitle", "documenttitle", "chapter"), 1),
    **dict.fromkeys(("subtitle", "section", "sectionheader", "sectiontitle"), 2),
    **dict.fromkeys(("heading", "headingline", "headline", "paragraphtitle"), 2),
    **dict.fromkeys(("subsection", "subsubsection"), 3),
}
_LISTS = ("list", "listitem")
_NOT_LETTER = re.compile(r"[^a-z]+")
_ITEM = re.compile(r"(?:[-*•◦▪–]|\(?(?P<number>\w{1,3})[.)])\s+")


def prepare_truth(
    annotation: Annotation, *, target: Target = "auto", normalize: str = "none"
) -> Annotation | Problem:
    """A sample as read -> with its text normalised, then made into the target.

    For `grounding` the text comes later, from boxes in pixels: `grounding.render_grounding`.
    """
    try:
        return render_target(normalize_annotation(annotation, normalize), target)
    except RecursionError:
        return _not_possible(annotation, "nested too deeply; expected flatter fields")


def render_target(annotation: Annotation, target: Target) -> Annotation | Problem:
    """A sample with its text made of its structure; as it is for `auto`."""
    if target == "auto":
        return annotation
    if target == "grounding":
        if annotation.regions:
            return annotation
        return _not_possible(annotation, "no regions; --target grounding needs boxes")
    if not annotation.structure:
        if target != "json" or _is_json(annotation.text):
            return annotation
        reason = "no fields, tables or blocks; --target json needs a format that tells them"
        return _not_possible(annotation, reason)
    try:
        text = _json(annotation.structure) if target == "json" else _joined(annotation, target)
    except ValueError as error:
        return _not_possible(annotation, str(error))
    return dataclasses.replace(annotation, text=text)


def _joined(annotation: Annotation, target: Target) -> str:
    write = _markdown if target == "markdown" else _text
    return "\n\n".join(filter(None, map(write, annotation.structure)))


def _text(block: Block) -> str:
    if isinstance(block, TextBlock):
        return block.text
    if isinstance(block, Formula):
        return block.latex
    if isinstance(block, Table):
        return "\n".join("\t".join(row) for row in _grid(block))
    return "\n".join("  " * depth + line for depth, line in _outline(block.value))


def _markdown(block: Block) -> str:
    if isinstance(block, TextBlock):
        return _labelled(block)
    if isinstance(block, Formula):
        return rf"\[{block.latex}\]"
    if isinstance(block, Table):
        return table_html(block)
    return "\n".join("  " * depth + f"- {line}" for depth, line in _outline(block.value))


def _labelled(block: TextBlock) -> str:
    label = _NOT_LETTER.sub("", block.label.lower())
    if label in _LEVELS:
        return "#" * _LEVELS[label] + " " + " ".join(block.text.split())
    if label in _LISTS:
        return "\n".join(map(_list_item, block.text.splitlines()))
    if label.endswith("caption"):
        return f"<center>{block.text}</center>"
    return block.text


def _list_item(line: str) -> str:
    mark = _ITEM.match(line)
    if mark is None:
        return f"- {line}"
    return line if mark["number"] else f"- {line[mark.end() :]}"


def _json(blocks: Sequence[Block]) -> str:
    only = blocks[0] if len(blocks) == 1 else None
    if isinstance(only, Fields):
        value = only.value
    else:
        value = _as_json(only) if only else [_as_json(block) for block in blocks]
    return json_text(value)


def _as_json(block: Block) -> dict[str, Any]:
    if isinstance(block, TextBlock):
        return {"text": block.text} | ({"label": block.label} if block.label else {})
    if isinstance(block, Formula):
        return {"formula": block.latex}
    if isinstance(block, Fields):
        return {"fields": block.value}
    spans = [
        [cell.row, cell.column, cell.row_span, cell.column_span]
        for cell in block.cells
        if (cell.row_span, cell.column_span) != (1, 1)
    ]
    return {"table": _grid(block)} | ({"spans": spans} if spans else {})


def _grid(table: Table) -> list[list[str]]:
    """The rows of a table, all of one length; a cell's text stands in its first place.

    Raises:
        ValueError: as `covering_cells`.
    """
    rows = [[""] * len(cells) for cells in covering_cells(table)]
    for cell in table.cells:
        rows[cell.row][cell.column] = " ".join(cell.text.split())
    return rows


def _outline(value: Any, depth: int = 0) -> Iterator[tuple[int, str]]:
    """(depth, line) of keys and values; a flat member of a list is one line."""
    if isinstance(value, dict):
        for key, member in value.items():
            if isinstance(member, dict | list):
                yield depth, f"{key}:"
                yield from _outline(member, depth + 1)
            else:
                yield depth, _pair(key, member)
    elif isinstance(value, list):
        for member in value:
            if isinstance(member, dict) and not any(
                isinstance(part, dict | list) for part in member.values()
            ):
                yield depth, ", ".join(_pair(key, part) for key, part in member.items())
            else:
                yield from _outline(member, depth)
    else:
        yield depth, _plain(value)


def _pair(key: str, value: Any) -> str:
    return f"{key}: {_plain(value)}".rstrip()


def _plain(value: Any) -> str:
    """A string without its line ends, a number as written, "true" or "false", "" for null."""
    if isinstance(value, str):
        return " ".join(value.split())
    return "" if value is None else json_text(value)


def _is_json(text: str) -> bool:
    """Whether a text is a JSON object or array."""
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False


def _not_possible(annotation: Annotation, reason: str) -> Problem:
    return Problem(kind=KIND, source=annotation.source or "", reason=reason)
