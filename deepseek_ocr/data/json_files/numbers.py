"""Numbers of JSON as they were written: `29.90` is no `29.9` where the text is to be learned."""

from __future__ import annotations

import json
from typing import Any

_encode = json.JSONEncoder(ensure_ascii=False).encode


class WrittenNumber(float):
    """A number that Python would write in another way than `written`."""

    __slots__ = ("written",)
    written: str


def as_written(literal: str) -> float | int:
    """The number that a literal of JSON stands for; `json_text` writes it as it was.

    Raises:
        ValueError: an integer of thousands of digits.
    """
    value = int(literal) if literal.removeprefix("-").isdecimal() else float(literal)
    if repr(value) == literal:
        return value
    number = WrittenNumber(value)
    number.written = literal
    return number


class _Mark(str):
    """A bracket, a comma or a key: what stands between values."""


def json_text(value: Any) -> str:
    """A JSON value in one line, as `json.dumps` writes it, but for numbers: those as written."""
    written: list[str] = []
    waiting = [value]  # no recursion: JSON may be nested deeper than Python's stack
    while waiting:
        part = waiting.pop()
        if isinstance(part, _Mark):
            written.append(part)
        elif isinstance(part, WrittenNumber):
            written.append(part.written)
        elif isinstance(part, dict) and part:
            waiting.append(_Mark("}"))
            for key, member in reversed(part.items()):
                waiting += (member, _Mark(f", {_encode(key)}: "))
            waiting[-1] = _Mark("{" + waiting[-1][2:])
        elif isinstance(part, list) and part:
            waiting.append(_Mark("]"))
            for member in reversed(part):
                waiting += (member, _Mark(", "))
            waiting[-1] = _Mark("[")
        else:
            written.append(_encode(part))
    return "".join(written)
