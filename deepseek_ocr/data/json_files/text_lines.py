"""The lines of a text file, one at a time, each with its number."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..problems import Problem
from .rows import (
    ENCODING_ADVICE,
    LENGTH_ADVICE,
    NOT_UTF8,
    TOO_LONG,
    byte_lines,
    opened,
    unreadable,
)


def read_text_lines(path: Path, name: str) -> Iterator[tuple[int, str] | Problem]:
    """(line number from 1, line without its end) of UTF-8 text; `name` is the file in problems."""
    try:
        with opened(path) as file:
            for number, line in enumerate(byte_lines(file), 1):
                source = f"{name}:{number}"
                if line is None:
                    yield Problem(kind=TOO_LONG, source=source, reason=LENGTH_ADVICE)
                    continue
                try:
                    yield number, line.decode("utf-8")
                except UnicodeDecodeError:
                    yield Problem(kind=NOT_UTF8, source=source, reason=ENCODING_ADVICE)
    except OSError as error:
        yield unreadable(name, error)
