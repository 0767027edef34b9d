"""The members of one large JSON object, one at a time: `{"1.png": ..., "2.png": ...}`.

As strict as `json_rows`, and as bounded in memory.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..problems import CutShort, Problem
from .allowance import Allowance
from .rows import Pieces, opened, unreadable
from .strict import BAD_JSON, RowError, usable


@dataclasses.dataclass(frozen=True, slots=True)
class Member:
    """A key, its value, and the line (from 1) that the key stands in."""

    line: int
    key: str
    value: Any


def read_members(
    path: Path, name: str, *, allowance: Allowance | None = None
) -> Iterator[Member | Problem]:
    """The members of a file that holds one JSON object; `name` is what problems call the file.

    A key that is there twice is a problem. After a syntax error nothing more can be told apart, so
    it is the last thing reported.
    """
    keys: set[str] = set()
    try:
        with opened(path, allowance) as file:
            text = Pieces(file)
            try:
                for line, key, value in _pairs(text):
                    try:
                        _check_new(key, keys)
                        yield Member(line, key, usable(value, 0))
                    except RowError as error:
                        source = f"{name}:{line}"
                        yield Problem(kind=error.kind, source=source, reason=error.reason)
            except RowError as error:
                line = text.line_at(error.position)
                yield CutShort(kind=error.kind, source=f"{name}:{line}", reason=error.reason)
    except OSError as error:
        yield unreadable(name, error)


def _check_new(key: str, keys: set[str]) -> None:
    if key in keys:
        raise RowError(BAD_JSON, f"the key {key[:60]!r} is given twice; keep one")
    keys.add(key)


def _pairs(text: Pieces) -> Iterator[tuple[int, str, Any]]:
    """The line, the key and the value of each member."""
    _expect(text, "{", "expected a JSON object: {...}")
    closed = text.peek() == "}"
    if closed:
        text.advance(text.position + 1)
    while not closed:
        if text.peek() != '"':
            raise RowError(BAD_JSON, 'not valid JSON (expected "key": value)', text.position)
        line = text.line
        decoded, end = text.decode()
        key = usable(decoded, text.position)
        text.advance(end)
        _expect(text, ":", "not valid JSON (expected : after a key)")
        text.peek()
        value, end = text.decode()
        yield line, key, value
        text.advance(end)
        separator = text.peek()
        if separator not in (",", "}"):
            reason = "not valid JSON (expected , or } after a value)"
            raise RowError(BAD_JSON, reason, text.position)
        closed = separator == "}"
        text.advance(text.position + 1)
    if text.peek():
        raise RowError(BAD_JSON, "not valid JSON (more follows after its end)", text.position)


def _expect(text: Pieces, character: str, reason: str) -> None:
    if text.peek() != character:
        raise RowError(BAD_JSON, reason, text.position)
    text.advance(text.position + 1)
