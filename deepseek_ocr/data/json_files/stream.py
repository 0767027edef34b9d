"""JSON written member by member, so that a list of a million names is never held.

One member or element stands on a line; below the second level a value takes one line.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

EXPANDED_LEVELS = 2

_encode = json.JSONEncoder(ensure_ascii=False).encode


@dataclasses.dataclass(frozen=True)
class Members:
    """A JSON object whose (key, value) pairs come one after another."""

    pairs: Iterable[tuple[str, Any]]


@dataclasses.dataclass(frozen=True)
class Elements:
    """A JSON array whose values come one after another."""

    values: Iterable[Any]


def write_json(file: TextIO, value: Any, level: int = 0) -> None:
    """Write a JSON value with `Members` or `Elements` in place of some objects or arrays."""
    if isinstance(value, Members):
        lines: Iterable[tuple[str, Any]] = ((f"{_encode(key)}: ", v) for key, v in value.pairs)
        _write_lines(file, "{}", lines, level)
    elif isinstance(value, Elements):
        _write_lines(file, "[]", (("", element) for element in value.values), level)
    elif isinstance(value, Mapping) and value and level < EXPANDED_LEVELS:
        write_json(file, Members(value.items()), level)
    else:
        file.write(_encode(value))


def _write_lines(file: TextIO, brackets: str, lines: Iterable[tuple[str, Any]], level: int) -> None:
    indent = "\n" + " " * (level + 1)
    file.write(brackets[0])
    separator = indent
    for start, value in lines:
        file.write(separator + start)
        write_json(file, value, level + 1)
        separator = "," + indent
    if separator != indent:  # not empty
        file.write("\n" + " " * level)
    file.write(brackets[1])
