"""`pubtabnet`: pictures of tables, and JSON lines of `{"filename", "split", "html": {...}}`.

`html.structure.tokens` are the tags of the table, without its text; `html.cells` the text of its
`<td>` in their order, as `tokens` of characters or a tag each, with `bbox` in pixels if not empty.
https://github.com/ibm-aur-nlp/PubTabNet
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..annotations import Annotation, Region
from ..folder import DatasetFolder
from ..json_files.rows import Row
from ..problems import Problem
from ..truth.html_tables import parse_table
from ._detection import Detection
from ._lists import LINES, detect_rows, read_rows
from ._named import find_picture
from ._reading_order import straight_box
from ._unusable import Unusable

NAME = "pubtabnet"
SUFFIXES = LINES
MARKS = frozenset({"html"})

_TAG = re.compile(r"</?[A-Za-z][^<>]*>")


def detect(folder: DatasetFolder) -> Detection | None:
    return detect_rows(folder, is_row, suffixes=SUFFIXES)


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """One sample a table: its text is its HTML, its regions are the cells with text."""
    return read_rows(folder, convert, suffixes=SUFFIXES)


def is_row(value: Mapping[str, Any]) -> bool:
    markup = value.get("html")
    return isinstance(value.get("filename"), str) and isinstance(markup, dict) and "cells" in markup


def convert(row: Row, file: str, folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    source = f"{file}:{row.place}"
    split = row.value.get("split")
    try:
        picture = _picture(row.value.get("filename"), split, file, folder)
        tags, cells = _parts(row.value.get("html"))
        text, regions = _table_html(tags, cells), tuple(_regions(cells))
    except Unusable as error:
        yield Problem(kind=error.kind, source=source, reason=str(error))
        return
    except ValueError as error:
        yield Problem(kind="bad value", source=source, reason=str(error))
        return
    table = parse_table(text)
    yield Annotation(
        id="",
        images=(picture,),
        prompt="",
        text=text,
        regions=regions,
        source=source,
        attributes={"split": split} if isinstance(split, str) else {},
        structure=(table,) if table else (),
    )


def _picture(name: Any, split: Any, file: str, folder: DatasetFolder) -> str:
    """Beside the list, or in the folder of its split."""
    if not isinstance(name, str):
        raise Unusable("annotation without picture", "no 'filename'; expected a picture")
    return find_picture(folder, name, file, [split] if isinstance(split, str) else [])


def _parts(markup: Any) -> tuple[list[str], list[dict[str, Any]]]:
    """The tags of a table, and its cells."""
    structure, cells = (
        markup.get(key) if isinstance(markup, dict) else None for key in ("structure", "cells")
    )
    tags = structure.get("tokens") if isinstance(structure, dict) else None
    if not isinstance(tags, list) or not _are_texts(tags):
        raise ValueError("'html.structure.tokens': expected a list of strings")
    if not isinstance(cells, list) or not all(map(_is_cell, cells)):
        raise ValueError("'html.cells': expected a list of objects with a list of 'tokens'")
    return tags, cells


def _is_cell(value: Any) -> bool:
    tokens = value.get("tokens") if isinstance(value, dict) else None
    return isinstance(tokens, list) and _are_texts(tokens)


def _are_texts(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _table_html(tags: Sequence[str], cells: Sequence[Mapping[str, Any]]) -> str:
    """The tags with the text of each cell put in front of its `</td>`."""
    num_cells = sum(tag == "</td>" for tag in tags)
    if num_cells != len(cells):
        raise ValueError(f"{num_cells} </td> in the structure, but {len(cells)} cells")
    texts = iter(cells)
    written = [_cell_html(next(texts)) + tag if tag == "</td>" else tag for tag in tags]
    return f"<table>{''.join(written)}</table>"


def _cell_html(cell: Mapping[str, Any]) -> str:
    """A token that is a tag as a whole stays one, what any other holds is text."""
    return "".join(
        token if _TAG.fullmatch(token) else html.escape(token, quote=False)
        for token in cell["tokens"]
    )


def _regions(cells: Sequence[Mapping[str, Any]]) -> Iterator[Region]:
    for number, cell in enumerate(cells, 1):
        if cell.get("bbox") is not None:
            text = html.unescape(_TAG.sub("", _cell_html(cell)))
            try:
                yield Region(label="cell", box=straight_box(cell["bbox"]), text=text)
            except ValueError as error:
                raise ValueError(f"'bbox' of cell {number}: {error}") from None
