"""Rows of JSON files, each with the line it begins at; what cannot be read becomes a `Problem`.

Arrays are parsed a piece at a time, so that memory does not grow with the file. Stricter than
`json.loads`: a key given twice, NaN, null characters and torn surrogate pairs are refused, because
they would be lost or altered without a word. With `keep_numbers` a row is slower to read, and
`numbers.json_text` writes its numbers as they stand in the file.
"""

from __future__ import annotations

import codecs
import dataclasses
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ..problems import CutShort, Problem
from .allowance import Allowance
from .brackets import Brackets
from .strict import BAD_JSON, RowError, after_blanks, as_object, comma_before_end, decode_value

MAX_ROW_BYTES = 64 << 20
PIECE_BYTES = 1 << 20
TRIED_SIZE = 8 << 20  # characters; in a longer value a fault is told where its brackets end

NOT_UTF8 = "not UTF-8"
TOO_LONG = "row too long"

ENCODING_ADVICE = "not UTF-8; save the file in UTF-8"
LENGTH_ADVICE = f"a row of more than {MAX_ROW_BYTES >> 20} MiB; split it"


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


def read_array(
    path: Path, name: str, *, keep_numbers: bool = False, allowance: Allowance | None = None
) -> Iterator[Row | Problem]:
    """The objects of a file that holds one JSON array; `name` is what problems call the file.

    After a syntax error nothing more can be told apart, so it is the last thing reported.
    """
    try:
        with opened(path, allowance) as file:
            text = Pieces(file, keep_numbers=keep_numbers)
            try:
                yield from _array_rows(text, name)
            except RowError as error:
                line = text.line_at(error.position)
                yield CutShort(kind=error.kind, source=f"{name}:{line}", reason=error.reason)
    except OSError as error:
        yield unreadable(name, error)


def read_lines(
    path: Path, name: str, *, allowance: Allowance | None = None
) -> Iterator[Row | Problem]:
    """The objects of a file with one JSON object a line (JSONL); blank lines are passed over."""
    try:
        with opened(path, allowance) as file:
            for line, piece in enumerate(byte_lines(file), 1):
                source = f"{name}:{line}"
                if piece is None:
                    yield Problem(kind=TOO_LONG, source=source, reason=LENGTH_ADVICE)
                elif piece.strip():
                    yield _whole(piece, source, line)
    except OSError as error:
        yield unreadable(name, error)


def read_object(
    path: Path, name: str, *, keep_numbers: bool = False, allowance: Allowance | None = None
) -> Row | Problem:
    """The one object that a JSON file holds."""
    content = _bytes_of(path, name, allowance)
    if isinstance(content, Problem):
        return content
    return _whole(content, f"{name}:1", 1, keep_numbers=keep_numbers)


def read_text(path: Path, name: str, *, allowance: Allowance | None = None) -> str | Problem:
    """A whole text file, UTF-8 with or without a mark, line ends as written."""
    content = _bytes_of(path, name, allowance)
    if isinstance(content, Problem):
        return content
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return Problem(kind=NOT_UTF8, source=f"{name}:{line}", reason=ENCODING_ADVICE)


def first_character(path: Path) -> str:
    """The first character of a file that is no blank, "" if there is none: tells `[` from `{`."""
    with opened(path) as file:
        head = file.read(PIECE_BYTES).removeprefix(codecs.BOM_UTF8).lstrip()
    return head[:1].decode("latin-1")


def opened(path: Path, allowance: Allowance | None = None) -> IO[bytes]:
    """A file open for reading, as far as an allowance lets it be read.

    Raises:
        OSError: it cannot be read, or is a pipe or a folder.
    """
    if not Path(path).is_file() and Path(path).exists():  # a pipe would be waited on for ever
        raise OSError(errno.EINVAL, "it is not a file")
    return Path(path).open("rb") if allowance is None else allowance.of(Path(path).open("rb"))


def _bytes_of(path: Path, name: str, allowance: Allowance | None = None) -> bytes | Problem:
    """A small file without its byte order mark."""
    try:
        with opened(path, allowance) as file:
            content = file.read(MAX_ROW_BYTES + 1)
    except OSError as error:
        return unreadable(name, error)
    if len(content) > MAX_ROW_BYTES:
        return Problem(kind=TOO_LONG, source=f"{name}:1", reason=LENGTH_ADVICE)
    return content.removeprefix(codecs.BOM_UTF8)


def byte_lines(file: IO[bytes]) -> Iterator[bytes | None]:
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


def unreadable(name: str, error: OSError) -> Problem:
    """The problem of a file that cannot be opened or read."""
    reason = f"cannot be read ({error.strerror})"
    return CutShort(kind="unreadable file", source=f"{name}:1", reason=reason)


def _whole(content: bytes, source: str, line: int, *, keep_numbers: bool = False) -> Row | Problem:
    """One object that fills `content`; problems count its lines on from `line`."""
    file = source.rpartition(":")[0]
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line += content.count(b"\n", 0, error.start)
        return Problem(kind=NOT_UTF8, source=f"{file}:{line}", reason=ENCODING_ADVICE)
    try:
        start = after_blanks(text, 0)
        value, end = decode_value(text, start, keep_numbers=keep_numbers)
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


def _array_rows(text: Pieces, name: str) -> Iterator[Row | Problem]:
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


def _array_values(text: Pieces) -> Iterator[tuple[int, Any]]:
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
            if text.peek() == "]" and (fault := comma_before_end(text.text, text.position)):
                raise fault
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


class Pieces:
    """The text of a file, read on as needed; `position` is in `text`, `line` that of `position`."""

    def __init__(self, file: IO[bytes], *, keep_numbers: bool = False):
        self.file, self.keep_numbers = file, keep_numbers
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
            self.text = self.text[self.position :] + self._next_piece(PIECE_BYTES)
            self.position = 0

    def decode(self) -> tuple[Any, int]:
        """The JSON value at `position` and where it ends."""
        brackets: Brackets | None = None
        while True:
            try:
                value, end = decode_value(self.text, self.position, keep_numbers=self.keep_numbers)
                if end - self.position > MAX_ROW_BYTES:
                    raise RowError(TOO_LONG, LENGTH_ADVICE, self.position)
                if isinstance(value, dict | list) or end < len(self.text) or self.ended:
                    return value, end
            except RowError as error:
                if error.complete:
                    raise
                if self.ended:
                    raise (self.encoding_error() if self.not_utf8 else error) from None
            if brackets is None:
                brackets = Brackets()
                brackets.feed(self.text[self.position :])
            self._read_value(brackets)

    def _read_value(self, brackets: Brackets) -> None:
        """Read on until decoding may succeed, or tell what is wrong near the value's beginning."""
        pieces = [self.text[self.position :]]
        size = tried = len(pieces[0])
        while not self.ended:
            if size > MAX_ROW_BYTES:
                raise RowError(TOO_LONG, LENGTH_ADVICE, self.position)
            pieces.append(self._next_piece(PIECE_BYTES))
            size += len(pieces[-1])
            brackets.feed(pieces[-1])
            if brackets.closed or tried < TRIED_SIZE <= size:
                break
        self.text, self.position = "".join(pieces), 0

    def advance(self, position: int) -> None:
        """Move on to a place behind this one."""
        self.line += self.text.count("\n", self.position, position)
        self.position = position

    def line_at(self, position: int) -> int:
        """The line of a place at or after `position`."""
        return self.line + self.text.count("\n", self.position, position)

    def encoding_error(self) -> RowError:
        """The error for bytes that are not UTF-8, where the text ends before them."""
        return RowError(NOT_UTF8, ENCODING_ADVICE, len(self.text))

    def _next_piece(self, size: int) -> str:
        """More of the file's text; sets `ended` behind the last of it that can be read."""
        piece = self.file.read(size)
        try:
            new = self.decoder.decode(piece, final=not piece)
            self.ended = not piece
        except UnicodeDecodeError as error:
            new = error.object[: error.start].decode("utf-8-sig")
            self.ended = self.not_utf8 = True
        return new
