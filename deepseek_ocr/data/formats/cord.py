"""`cord`: photographed receipts, each with a JSON file: `{"valid_line": [{"words", "category"}]}`.

A word has a quad of corners {x1, y1, ..., x4, y4} in pixels and the `row_id` of the printed line it
stands in; a line of words has a category such as `menu.nm` and the `group_id` of its item. The
fields are the file's `gt_parse`, or are made of the categories, as its authors made it.
https://github.com/clovaai/cord
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from typing import Any

from ..annotations import Annotation, Region
from ..folder import DatasetFolder
from ..json_files.rows import Row
from ..problems import Problem
from ..truth.structures import Fields
from ._detection import Detection
from ._json_pairs import SUFFIXES, bad_value, detect_pairs, read_pairs, text_in
from ._reading_order import Box, Piece, box_around, reading_order, text_of

__all__ = ["NAME", "SUFFIXES", "detect", "read"]

NAME = "cord"


def detect(folder: DatasetFolder) -> Detection | None:
    return detect_pairs(folder, _is_receipt, score=0.995)


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """One sample a receipt; its categorised lines are its regions."""
    return read_pairs(folder, _convert)


@dataclasses.dataclass(frozen=True, slots=True)
class _Word(Piece):
    row_id: Hashable = None
    is_key: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class _Line:
    """Words of one category; `group` is the item they belong to."""

    category: str
    group: Hashable
    words: tuple[_Word, ...]

    @property
    def text(self) -> str:
        return _joined(self.words)

    @property
    def value(self) -> str:
        """The text without words that only say what it is, such as TOTAL."""
        return _joined(word for word in self.words if not word.is_key)

    @property
    def box(self) -> Box:
        x1, y1, x2, y2 = zip(*(word.box for word in self.words), strict=True)
        return min(x1), min(y1), max(x2), max(y2)


def _is_receipt(value: Any) -> bool:
    lines = value.get("valid_line")
    return isinstance(lines, list) and all(
        isinstance(line, dict) and "words" in line and "category" in line for line in lines[:5]
    )


def _convert(row: Row, file: str, images: tuple[str, ...]) -> Iterator[Annotation | Problem]:
    written = row.value.get("valid_line")
    if not isinstance(written, list):
        yield bad_value(file, row, "no list under 'valid_line'; expected the lines of a receipt")
        return
    lines, problems = [], []
    for number, line in enumerate(written, 1):
        try:
            lines.append(_line(line))
        except ValueError as error:
            problems.append(bad_value(file, row, f"valid_line {number}: {error}"))
    if problems:
        yield from problems
        return
    lines = [line for line in lines if line.words]
    rows = _printed_rows(word for line in lines for word in line.words)
    places = {id(word): place for place, word in enumerate(w for words in rows for w in words)}
    lines.sort(key=lambda line: min(places[id(word)] for word in line.words))
    fields = row.value.get("gt_parse") or _fields(lines)
    yield Annotation(
        id="",
        images=images,
        prompt="",
        text=text_of(rows),
        regions=tuple(Region(label=ln.category, box=ln.box, text=ln.text) for ln in lines),
        source=f"{file}:{row.place}",
        attributes=_attributes(row.value),
        structure=(Fields(value=fields),) if fields else (),
    )


def _line(written: Any) -> _Line:
    if not isinstance(written, dict) or not isinstance(written.get("words"), list):
        raise ValueError("expected an object with a list of 'words'")
    words = [_word(word) for word in written["words"]]
    group = written.get("group_id")
    return _Line(
        text_in(written, "category"),
        group if isinstance(group, int | str) else None,
        tuple(word for word in words if word.text.strip()),
    )


def _word(written: Any) -> _Word:
    quad = written.get("quad") if isinstance(written, dict) else None
    if not isinstance(quad, dict):
        raise ValueError("a word without its 'quad' of corners")
    corners = [[quad.get(f"x{corner}"), quad.get(f"y{corner}")] for corner in range(1, 5)]
    x1, y1, x2, y2 = (max(side, 0) for side in box_around(corners))  # some begin above the picture
    row_id = written.get("row_id")
    return _Word(
        text_in(written, "text"),
        (x1, y1, x2, y2),
        row_id=row_id if isinstance(row_id, int | str) else None,
        is_key=bool(written.get("is_key")),
    )


def _printed_rows(words: Iterable[_Word]) -> list[list[_Word]]:
    """By the row ids; by the places of the words where one of them has none."""
    words = list(words)
    if any(word.row_id is None for word in words):
        return reading_order(words)
    rows = defaultdict[Hashable, list[_Word]](list)
    for word in words:
        rows[word.row_id].append(word)
    for row in rows.values():
        row.sort(key=lambda word: word.box[0])
    return sorted(rows.values(), key=lambda row: sum(word.middle for word in row) / len(row))


def _fields(lines: Iterable[_Line]) -> dict[str, Any]:
    """`menu.nm` and `menu.price` of one group -> `{"menu": [{"nm": ..., "price": ...}]}`."""
    items = defaultdict[str, dict[Hashable, dict[str, str]]](dict)
    for line in lines:
        kind, _, key = line.category.partition(".")
        if not key or not line.value:
            continue
        group = line.group if kind in _OF_ITEMS else None
        item = items[kind].setdefault(group, {})
        item[key] = f"{item[key]} {line.value}" if key in item else line.value
    return {
        kind: list(found.values()) if kind in _OF_ITEMS else found[None]
        for kind, found in items.items()
    }


_OF_ITEMS = frozenset({"menu", "void_menu"})  # there may be several; of the others, one a receipt


def _joined(words: Iterable[_Word]) -> str:
    return " ".join(word.text for word in words)


def _attributes(value: dict[str, Any]) -> dict[str, str]:
    meta = value.get("meta")
    split = meta.get("split") if isinstance(meta, dict) else None
    return {"split": split} if isinstance(split, str) else {}
