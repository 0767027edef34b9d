"""Rows of JSON files, each with the line it begins at; what cannot be read becomes a `Problem`.

Arrays are parsed a piece at a time, so that memory does not grow with the file. Stricter than
`json.loads`: a key given twice, NaN, null characters and torn surrogate pairs are refused, because
they would be lost or altered without a word.
"""

from __future__ import annotations

import codecs
import dataclasses
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from .problems import CutShort, Problem
from .strict_json import BAD_JSON, RowError, after_blanks, as_object, decode_value

MAX_ROW_BYTES = 64 << 20
PIECE_BYTES = 1 << 20

NOT_UTF8 = "not UTF-8"
TOO_LONG = "row too long"

_ENCODING_ADVICE = "not UTF-8; save the file in UTF-8"
_LENGTH_ADVICE = f"a row of more than {MAX_ROW_BYTES >> 20} MiB; split it"


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One JSON object, the line (from 1) it begins at, and its `number` in an array (from 1) where
    the line holds others too."""

    line: int
    value: dict[str, Any]
    number: int | None = None

    @property
    def place(self) -> str:
        """What stands behind the file's name: `3`, or `1 (row 3)`."""
        return _place(self.line, self.number)


def read_array(path: Path, name: str) -> Iterator[Row | Problem]:
    """The objects of a file that holds one JSON array; `name` is what problems call the file.

    After a syntax error nothing more can be told apart, so it is the last thing reported.
    """
    try:
        with _opened(path) as file:
            text = _Pieces(file)
            try:
                yield from _array_rows(text, name)
            except RowError as error:
                line = text.line_at(error.position)
                yield CutShort(kind=error.kind, source=f"{name}:{line}", reason=error.reason)
    except OSError as error:
        yield _unreadable(name, error)


def read_lines(path: Path, name: str) -> Iterator[Row | Problem]:
    """The objects of a file with one JSON object a line (JSONL); blank lines are passed over."""
    try:
        with _opened(path) as file:
            for line, piece in enumerate(_byte_lines(file), 1):
                source = f"{name}:{line}"
                if piece is None:
                    yield Problem(kind=TOO_LONG, source=source, reason=_LENGTH_ADVICE)
                elif piece.strip():
                    yield _whole(piece, source, line)
    except OSError as error:
        yield _unreadable(name, error)


def read_object(path: Path, name: str) -> Row | Problem:
    """The one object that a JSON file holds."""
    content = _bytes_of(path, name)
    return content if isinstance(content, Problem) else _whole(content, f"{name}:1", 1)


def read_text(path: Path, name: str) -> str | Problem:
    """A whole text file, UTF-8 with or without a mark, line ends as written."""
    content = _bytes_of(path, name)
    if isinstance(content, Problem):
        return content
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return Problem(kind=NOT_UTF8, source=f"{name}:{line}", reason=_ENCODING_ADVICE)


def first_character(path: Path) -> str:
    """The first character of a file that is no blank, "" if there is none: tells `[` from `{`."""
    with _opened(path) as file:
        head = file.read(PIECE_BYTES).removeprefix(codecs.BOM_UTF8).lstrip()
    return head[:1].decode("latin-1")


def _opened(path: Path) -> IO[bytes]:
    if not Path(path).is_file() and Path(path).exists():  # a pipe would be waited on for ever
        raise OSError(errno.EINVAL, "it is not a file")
    return Path(path).open("rb")


def _bytes_of(path: Path, name: str) -> bytes | Problem:
    """A small file without its byte order mark."""
    try:
        with _opened(path) as file:
            content = file.read(MAX_ROW_BYTES + 1)
    except OSError as error:
        return _unreadable(name, error)
    if len(content) > MAX_ROW_BYTES:
        return Problem(kind=TOO_LONG, source=f"{name}:1", reason=_LENGTH_ADVICE)
    return content.removeprefix(codecs.BOM_UTF8)


def _byte_lines(file: IO[bytes]) -> Iterator[bytes | None]:
    """The lines of a file; None for one that is too long to be held."""
    first = True
    while piece := file.readline(MAX_ROW_BYTES + 1):
        if len(piece) > MAX_ROW_BYTES:
            while piece and not piece.endswith(b"\n"):
                piece = file.readline(PIECE_BYTES)
            yield None
        else:
            piece = piece.rstrip(b"\r\n")
            yield piece.removeprefix(codecs.BOM_UTF8) if first else piece
        first = False


def _unreadable(name: str, error: OSError) -> Problem:
    reason = f"cannot be read ({error.strerror})"
    return CutShort(kind="unreadable file", source=f"{name}:1", reason=reason)


def _whole(content: bytes, source: str, line: int) -> Row | Problem:
    """One object that fills `content`; problems count its lines on from `line`."""
    file = source.rpartition(":")[0]
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line += content.count(b"\n", 0, error.start)
        return Problem(kind=NOT_UTF8, source=f"{file}:{line}", reason=_ENCODING_ADVICE)
    try:
        start = after_blanks(text, 0)
        value, end = decode_value(text, start)
        end = after_blanks(text, end)
        if end < len(text):
            advice = "; an object a line belongs in a file named .jsonl" if text[end] == "{" else ""
            raise RowError(BAD_JSON, f"not valid JSON (more follows after its end){advice}", end)
        return Row(line, as_object(value, start))
    except RowError as error:
        line += text.count("\n", 0, error.position)
        return Problem(kind=error.kind, source=f"{file}:{line}", reason=error.reason)


def _place(line: int, number: int | None) -> str:
    return str(line) if number is None else f"{line} (row {number})"


def _array_rows(text: _Pieces, name: str) -> Iterator[Row | Problem]:
    """The elements of an array; those that share a line are numbered."""
    values = _array_values(text)
    number, shared, ended = 0, False, False
    held: tuple[int, Any] | None = None  # until the line of the next one is known
    while not ended:
        fault = following = None
        try:
            following = next(values, None)
        except RowError as error:
            fault = error
        ended = following is None
        if held is not None:
            joined = following is not None and following[0] == held[0]
            yield _element(*held, number if shared or joined else None, name)
            shared = joined
        if fault is not None:
            raise fault
        held, number = following, number + 1


def _element(line: int, value: Any, number: int | None, name: str) -> Row | Problem:
    try:
        return Row(line, as_object(value, 0), number)
    except RowError as error:
        source = f"{name}:{_place(line, number)}"
        return Problem(kind=error.kind, source=source, reason=error.reason)


def _array_values(text: _Pieces) -> Iterator[tuple[int, Any]]:
    """The line and the value of each element."""
    if text.peek() != "[":
        reason = "expected a JSON array of objects: [{...}, ...]"
        if text.peek() == "{":
            reason += ", or an object a line in a file named .jsonl"
        raise RowError(BAD_JSON, reason, text.position)
    text.advance(text.position + 1)
    if text.peek() == "]":
        text.advance(text.position + 1)
    else:
        closed = False
        while not closed:
            text.peek()
            value, end = text.decode()
            yield text.line, value
            text.advance(end)
            separator = text.peek()
            if separator not in (",", "]"):
                reason = "not valid JSON (expected , or ] after a row)"
                raise RowError(BAD_JSON, reason, text.position)
            closed = separator == "]"
            text.advance(text.position + 1)
    if text.peek():
        raise RowError(BAD_JSON, "not valid JSON (more follows after its end)", text.position)


class _Pieces:
    """The text of a file, read on as needed; `position` is in `text`, `line` that of `position`."""

    def __init__(self, file: IO[bytes]):
        self.file = file
        self.decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self.text, self.position, self.line = "", 0, 1
        self.ended = self.not_utf8 = False

    def peek(self) -> str:
        """The next character that is no blank, "" at the end; moves to it."""
        while True:
            self.advance(after_blanks(self.text, self.position))
            if self.position < len(self.text):
                return self.text[self.position]
            if self.ended:
                if self.not_utf8:
                    raise self.encoding_error()
                return ""
            self._read(PIECE_BYTES)

    def decode(self) -> tuple[Any, int]:
        """The JSON value at `position` and where it ends."""
        size = PIECE_BYTES
        while True:
            try:
                value, end = decode_value(self.text, self.position)
                if end - self.position > MAX_ROW_BYTES:
                    raise RowError(TOO_LONG, _LENGTH_ADVICE, self.position)
                if isinstance(value, dict | list) or end < len(self.text) or self.ended:
                    return value, end
            except RowError as error:
                if error.complete:
                    raise
                if self.ended:
                    raise (self.encoding_error() if self.not_utf8 else error) from None
            if len(self.text) - self.position > MAX_ROW_BYTES:
                raise RowError(TOO_LONG, _LENGTH_ADVICE, self.position)
            self._read(size)
            size *= 2  # else a long row would be parsed from its start for each piece

    def advance(self, position: int) -> None:
        self.line += self.text.count("\n", self.position, position)
        self.position = position

    def line_at(self, position: int) -> int:
        """The line of a place at or after `position`."""
        return self.line + self.text.count("\n", self.position, position)

    def encoding_error(self) -> RowError:
        """The error for bytes that are not UTF-8, where the text ends before them."""
        return RowError(NOT_UTF8, _ENCODING_ADVICE, len(self.text))

    def _read(self, size: int) -> None:
        piece = self.file.read(size)
        try:
            new = self.decoder.decode(piece, final=not piece)
            self.ended = not piece
        except UnicodeDecodeError as error:
            new = error.object[: error.start].decode("utf-8-sig")
            self.ended = self.not_utf8 = True
        self.text = self.text[self.position :] + new
        self.position = 0
