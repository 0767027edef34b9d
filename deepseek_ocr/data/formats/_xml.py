"""XML files of page layouts, read without trust: what a hostile file could do is refused.

Elements go by their local names, so that every version of a schema, with or without prefixes, reads
alike. No entity is ever declared or fetched (https://cwe.mitre.org/data/definitions/776.html), no
attribute has a default that a DTD gives it, and size, depth and number of elements are limited.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import IO
from xml.parsers import expat

from ..folder import DatasetFolder
from ..json_files.rows import MAX_ROW_BYTES, NOT_UTF8, opened, unreadable
from ..problems import Problem
from ._detection import Detection
from ._reading_order import Box

MAX_DEPTH = 64
MAX_PARTS = 1_000_000  # elements and attributes; a newspaper page with all its words has 200,000
HEAD_BYTES = 1 << 16
PIECE_BYTES = 4 << 20  # expat looks at an unfinished attribute from its start with every piece
LOOKED_AT = 20  # files

BAD_XML = "not valid XML"


class Element:
    """An element with its local name, the line it begins on and the text right inside it."""

    __slots__ = ("attributes", "children", "line", "name", "text")

    def __init__(self, name: str, attributes: dict[str, str], line: int):
        self.name, self.attributes, self.line = name, attributes, line
        self.text = ""
        self.children: list[Element] = []

    def get(self, attribute: str) -> str:
        """The value of an attribute without blanks around it, "" if it is not there."""
        return self.attributes.get(attribute, "").strip()

    def all(self, *names: str) -> Iterator[Element]:
        """The children of these names."""
        return (child for child in self.children if child.name in names)

    def first(self, name: str) -> Element | None:
        """The first child of that name."""
        return next(self.all(name), None)

    def below(self, *names: str) -> Iterator[Element]:
        """Everything inside it that has one of these names, in the order of the file."""
        for child in self.children:
            if child.name in names:
                yield child
            yield from child.below(*names)


class ElementError(ValueError):
    """Why an element cannot be used, and the line it stands on."""

    def __init__(self, line: int, reason: str):
        super().__init__(reason)
        self.line = line


def number(element: Element, attribute: str) -> float:
    """The number in an attribute.

    Raises:
        ElementError: there is none.
    """
    written = element.get(attribute)
    try:
        value = float(written)
    except ValueError:
        value = float("nan")
    if not abs(value) < 1e9:  # false for NaN
        found = f"{written[:40]!r}" if written else "nothing"
        raise ElementError(
            element.line, f"<{element.name}>: expected a number as {attribute}, found {found}"
        )
    return value


def box_of_points(element: Element, attribute: str) -> Box:
    """The upright box around the points that an attribute lists: `x,y x,y ...` or `x y x y ...`.

    Raises:
        ElementError: it lists something else.
    """
    written = element.get(attribute)
    try:
        numbers = [float(part) for part in re.split(r"[\s,]+", written) if part]
    except ValueError:
        numbers = []
    if len(numbers) < 4 or len(numbers) % 2 or not all(abs(value) < 1e9 for value in numbers):
        raise ElementError(
            element.line,
            f"<{element.name}>: expected points x,y x,y ... as {attribute}, found {written[:40]!r}",
        )
    xs, ys = numbers[0::2], numbers[1::2]
    return min(xs), min(ys), max(xs), max(ys)


def read_xml(
    path: Path, name: str, root: str, left_out: Collection[str] = ()
) -> Element | Problem | None:
    """The root of an XML file; None for XML of another root. `name` is what problems call the file.

    Elements named in `left_out` are passed over with everything in them.
    """
    tree = _TreeBuilder(root, frozenset(left_out))
    try:
        with opened(path) as file:
            tree.feed(file)
    except _OtherRoot:
        return None
    except _Refused as error:
        return Problem(kind=BAD_XML, source=f"{name}:{tree.line}", reason=str(error))
    except (expat.ExpatError, LookupError, ValueError) as error:
        return _problem_of(error, path, name, tree)
    except OSError as error:
        return unreadable(name, error)
    return tree.root


def root_of(path: Path) -> str:
    """The local name of an XML file's root, "" where it cannot be told: looks at its beginning."""
    found: list[str] = []
    parser = _wary_parser()
    parser.StartElementHandler = lambda name, _: found.append(_local(name))
    try:
        with opened(path) as file:
            parser.Parse(file.read(HEAD_BYTES), False)
    except (_Refused, OSError, expat.ExpatError, LookupError, ValueError):
        pass  # what came before the fault counts
    return found[0] if found else ""


def detect_pages(
    folder: DatasetFolder, files: Sequence[str], root: str, shape: str, weight: float
) -> Detection | None:
    """How much of a folder these files explain if each of that root describes one page.

    `weight` is the score where every picture has such a file; `shape` is what people call them.
    """
    looked_at = files[:: max(1, len(files) // LOOKED_AT)]
    roots = [root_of(folder.path(file)) for file in looked_at]
    told = [found for found in roots if found]  # a broken file may be anything
    num_pages = round(len(files) * told.count(root) / len(told)) if told else 0
    if not num_pages:
        return None
    share = min(1.0, num_pages / len(folder.pictures)) if folder.pictures else 1.0
    pictures = f" for {len(folder.pictures)} pictures" if folder.pictures else ""
    return Detection(score=weight * share, reason=f"{num_pages} files of {shape}{pictures}")


def _problem_of(error: Exception, path: Path, name: str, tree: _TreeBuilder) -> Problem:
    if path.stat().st_size == 0:
        reason = "the file is empty; expected XML: save it again or remove it"
        return Problem(kind=BAD_XML, source=f"{name}:1", reason=reason)
    source = f"{name}:{tree.line}"
    code = getattr(error, "code", None)
    is_text = code == expat.errors.codes[expat.errors.XML_ERROR_INVALID_TOKEN]
    if is_text and _byte_at(path, tree.parser.ErrorByteIndex) >= 0x80:
        reason = "not UTF-8, nor the encoding that it declares; save the file in UTF-8"
        return Problem(kind=NOT_UTF8, source=source, reason=reason)
    said = expat.errors.messages.get(code, str(error)) if code is not None else str(error)
    reason = f"not valid XML ({said}, column {tree.parser.ErrorColumnNumber + 1})"
    return Problem(kind=BAD_XML, source=source, reason=reason)


def _byte_at(path: Path, position: int) -> int:
    with path.open("rb") as file:
        file.seek(max(position, 0))
        return (file.read(1) or b"\0")[0]


class _OtherRoot(Exception):
    """The file is XML, but of another kind."""


class _Refused(Exception):
    """Something in the file that no page needs and that may do harm."""


def _wary_parser() -> expat.XMLParserType:
    """A parser that refuses what makes a small file large: entities, and defaults of attributes."""
    parser = expat.ParserCreate()
    parser.EntityDeclHandler = _refuse_entity
    parser.AttlistDeclHandler = _refuse_default
    return parser


def _refuse_entity(name: str, *_: object) -> None:
    raise _Refused(f"declares the entity {name[:40]!r}; write its text in its place")


def _refuse_default(element: str, attribute: str, _: str, default: str | None, *__: object) -> None:
    if default is not None:
        named = f"<{element[:40]} {attribute[:40]}=...>"
        raise _Refused(f"declares a default for {named}; write it where it is meant")


class _TreeBuilder:
    """Builds the elements of one file from what expat tells; `line` is where it is."""

    def __init__(self, root: str, left_out: frozenset[str]):
        self.root: Element | None = None
        self.parser = _wary_parser()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.SkippedEntityHandler = self._refuse_skipped
        self._root_name, self._left_out = root, left_out
        self._open: list[Element] = []
        self._texts: list[list[str]] = []
        self._outside = 0  # depth in an element that is left out
        self._num_parts = 0
        self._num_characters = 0  # of attributes, however they came to be there

    @property
    def line(self) -> int:
        return self.parser.CurrentLineNumber

    def feed(self, file: IO[bytes]) -> None:
        """Parse to the end."""
        num_bytes = 0
        while piece := file.read(PIECE_BYTES):
            num_bytes += len(piece)
            self._limit_size(num_bytes)
            self.parser.Parse(piece, False)
        self.parser.Parse(b"", True)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        name = _local(name)
        if self.root is None and name != self._root_name:
            raise _OtherRoot
        if len(self._open) + self._outside == MAX_DEPTH:
            raise _Refused(f"elements nested more than {MAX_DEPTH} deep; expected a page's layout")
        if self._outside or name in self._left_out:
            self._outside += 1
            return
        self._num_parts += 1 + len(attributes)
        if self._num_parts > MAX_PARTS:
            raise _Refused(f"more than {MAX_PARTS} elements and attributes; expected a page a file")
        self._num_characters += sum(len(key) + len(value) for key, value in attributes.items())
        self._limit_size(self._num_characters)
        named = {_local(key): value for key, value in attributes.items()}
        element = Element(name, named, self.parser.CurrentLineNumber)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)
        self._texts.append([])

    def _end(self, _: str) -> None:
        if self._outside:
            self._outside -= 1
            return
        text = "".join(self._texts.pop())
        self._open.pop().text = "" if text.isspace() else text

    def _text(self, text: str) -> None:
        if not self._outside and self._texts:
            self._texts[-1].append(text)

    def _limit_size(self, size: int) -> None:
        if size > MAX_ROW_BYTES:
            raise _Refused(f"more than {MAX_ROW_BYTES >> 20} MiB; expected a page a file")

    def _refuse_skipped(self, name: str, *_: object) -> None:
        raise _Refused(f"the entity {name[:40]!r} is not known; write its text in its place")


def _local(name: str) -> str:
    return name.rpartition(":")[2]
