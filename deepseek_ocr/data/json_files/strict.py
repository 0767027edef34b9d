"""JSON decoded more strictly than `json.loads` does.

A key given twice, NaN, numbers too large for a float, null characters and torn surrogate pairs are
refused: they would be lost or altered without a word.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from .numbers import WrittenNumber, as_written

BAD_JSON = "not valid JSON"

_BLANK = re.compile(r"[ \t\r\n]*")


class RowError(ValueError):
    """Why a piece of JSON cannot be used; `position` is where in the text, if known."""

    def __init__(self, kind: str, reason: str, position: int = 0, complete: bool = True):
        super().__init__(reason)
        self.kind, self.reason, self.position, self.complete = kind, reason, position, complete


def after_blanks(text: str, position: int) -> int:
    """The first place from `position` on that is no blank."""
    match = _BLANK.match(text, position)
    assert match is not None
    return match.end()


def decode_value(text: str, position: int, *, keep_numbers: bool = False) -> tuple[Any, int]:
    """The JSON value that begins at `position` of `text`, and where it ends.

    With `keep_numbers` (slower) `json_text` writes its numbers as they stand here.

    Raises:
        RowError: `complete` is false where more text might help.
    """
    faults: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            counts = Counter(key for key, _ in pairs)
            faults.append(f"the key {counts.most_common(1)[0][0]!r} is given twice; keep one")
        return found

    def finite(literal: str) -> float:
        value = as_written(literal) if keep_numbers else float(literal)
        if math.isinf(value):
            faults.append(f"{literal[:20]} is too large for a number; write it as a string")
        return value

    decoder = json.JSONDecoder(
        object_pairs_hook=unique,
        parse_float=finite,
        parse_int=as_written if keep_numbers else None,
        parse_constant=lambda name: faults.append(
            f"{name} is not valid JSON; use a number or null"
        ),
    )
    try:
        value, end = decoder.raw_decode(text, position)
    except json.JSONDecodeError as error:
        torn = error.msg.startswith("Unterminated string") or error.pos >= len(text) - 16
        if fault := comma_before_end(text, error.pos):
            raise fault from None
        reason = f"not valid JSON ({_lowered(error.msg)}, column {column_of(text, error.pos)})"
        raise RowError(BAD_JSON, reason, error.pos, complete=not torn) from None
    except RecursionError:
        raise RowError(BAD_JSON, "nested too deeply; expected a flat object", position) from None
    except ValueError:  # an integer of thousands of digits
        raise RowError(BAD_JSON, "a number with too many digits", position) from None
    if text.find("\\u", position, end) >= 0:
        faults.extend(_bad_characters(value))
    if faults:
        return _Faulty(faults[0]), end
    return value, end


def comma_before_end(text: str, position: int) -> RowError | None:
    """The error of a comma that the end of an object or a list follows, around `position`."""
    after = text[after_blanks(text, position) :][:1]
    if after == ",":  # as some versions of Python point at it
        position = after_blanks(text, position) + 1
        after = text[after_blanks(text, position) :][:1]
    comma = len(text[:position].rstrip(" \t\r\n")) - 1
    if after not in ("]", "}") or comma < 0 or text[comma] != ",":
        return None
    reason = f"not valid JSON (a comma before {after}, column {column_of(text, comma)}); remove it"
    return RowError(BAD_JSON, reason, comma)


def column_of(text: str, position: int) -> int:
    """The column, from 1, of a place in a text."""
    return position - text.rfind("\n", 0, position)


@dataclasses.dataclass(frozen=True)
class _Faulty:
    """Stands for a value that was read to its end but cannot be used."""

    reason: str


def _bad_characters(value: Any) -> Iterator[str]:
    waiting = [value]  # no recursion: JSON may be nested deeper than Python's stack
    while waiting:
        member = waiting.pop()
        if isinstance(member, dict):
            waiting.extend(member)
            waiting.extend(member.values())
        elif isinstance(member, list):
            waiting.extend(member)
        elif isinstance(member, str):
            if "\0" in member:
                yield "a null character in a text; remove it"
            if any("\ud800" <= character <= "\udfff" for character in member):
                yield "half of a surrogate pair in a text; write the character whole"


def usable(value: Any, position: int) -> Any:
    """A decoded value, whatever it is.

    Raises:
        RowError: `decode_value` found a fault in it.
    """
    if isinstance(value, _Faulty):
        raise RowError(BAD_JSON, value.reason, position)
    return value


def decode_whole(text: str, *, keep_numbers: bool = False) -> Any:
    """The one JSON value that a text holds; `keep_numbers` as for `decode_value`.

    Raises:
        RowError: it cannot be used, or more follows after it.
    """
    start = after_blanks(text, 0)
    value, end = decode_value(text, start, keep_numbers=keep_numbers)
    end = after_blanks(text, end)
    if end < len(text):
        raise RowError(BAD_JSON, "not valid JSON (more follows after its end)", end)
    return usable(value, start)


def as_object(value: Any, position: int) -> dict[str, Any]:
    """A decoded value that must be an object.

    Raises:
        RowError: it is none, or `decode_value` found a fault in it.
    """
    if not isinstance(usable(value, position), dict):
        raise RowError(BAD_JSON, f"expected an object {{...}}, found {json_type(value)}", position)
    return value


def json_type(value: Any) -> str:
    """What a value is called in JSON, for messages."""
    if value is None:
        return "null"
    if isinstance(value, WrittenNumber):
        return "a number"
    names = {bool: "true or false", int: "a number", float: "a number", str: "a string"}
    return names.get(type(value), "a list" if isinstance(value, list) else "an object")


def _lowered(message: str) -> str:
    return message[:1].lower() + message[1:]
