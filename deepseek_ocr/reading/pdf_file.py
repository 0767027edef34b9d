"""A PDF file written object after object, so that none of a long document is held in memory.

Only what a file of pictures with text needs: no compression of objects, a plain table of their
places at the end (ISO 32000-1, 7.5). The same objects give the same bytes: there is no date, and
the file's identifier is the hash of its content.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from typing import BinaryIO, NamedTuple


class Ref(NamedTuple):
    """The number of an object in its file."""

    number: int


class Name(str):
    """A PDF name, `/Type`, given without the slash."""


class PdfFile:
    """Objects of a PDF, written as they come; `finish` makes a file of them.

    Values are dicts, lists, numbers, `Name`s, `Ref`s and bytes, which are strings.
    """

    def __init__(self, file: BinaryIO):
        self._file = file
        self._hash = hashlib.sha256()
        self._places: list[int] = []  # of each object; 0: reserved and not yet written
        self._position = 0
        self._write(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")

    def reserve(self) -> Ref:
        """The number of an object that comes later."""
        self._places.append(0)
        return Ref(len(self._places))

    def add(self, value: object, at: Ref | None = None) -> Ref:
        """Write an object."""
        return self._object(encoded(value), at)

    def add_stream(
        self, content: bytes, about: Mapping[str, object] | None = None, *, compress: bool = True
    ) -> Ref:
        """Write a stream; `about` are further entries of its dictionary."""
        entries = dict(about or {})
        if compress:
            content = zlib.compress(content, 9)
            entries["Filter"] = Name("FlateDecode")
        entries["Length"] = len(content)
        return self._object(encoded(entries) + b"\nstream\n" + content + b"\nendstream")

    def finish(self, root: Ref, about: Ref) -> None:
        """Write the table of the objects' places; `root` is the catalog, `about` the title."""
        assert all(self._places), "an object was reserved and never written"
        start = self._position
        lines = [b"0000000000 65535 f \n", *(b"%010d 00000 n \n" % place for place in self._places)]
        size = len(lines)
        name = self._hash.digest()[:16]
        trailer = {"Size": size, "Root": root, "Info": about, "ID": [name, name]}
        self._write(b"xref\n0 %d\n" % size)
        for line in lines:
            self._write(line)
        self._write(b"trailer\n" + encoded(trailer) + b"\nstartxref\n%d\n%%%%EOF\n" % start)

    def _object(self, content: bytes, at: Ref | None = None) -> Ref:
        ref = at or self.reserve()
        self._places[ref.number - 1] = self._position
        self._write(b"%d 0 obj\n" % ref.number + content + b"\nendobj\n")
        return ref

    def _write(self, content: bytes) -> None:
        self._file.write(content)
        self._hash.update(content)
        self._position += len(content)


def encoded(value: object) -> bytes:
    """A value in PDF's notation."""
    match value:
        case Ref(number):
            return b"%d 0 R" % number
        case Name():
            return b"/" + value.encode("ascii")
        case bytes():
            return b"<" + value.hex().encode("ascii") + b">"
        case int():
            return b"%d" % value
        case float():
            return number_text(value).encode("ascii")
        case list():
            return b"[" + b" ".join(map(encoded, value)) + b"]"
        case Mapping():
            entries = (b"/" + key.encode("ascii") + b" " + encoded(v) for key, v in value.items())
            return b"<< " + b" ".join(entries) + b" >>"
    raise TypeError(f"{type(value).__name__} has no form in a PDF")


def number_text(value: float) -> str:
    """A number as PDF knows it: with a point, at most three digits behind it, never an `e`."""
    return f"{value:.3f}".rstrip("0").rstrip(".")


def text_string(text: str) -> bytes:
    """A text for a dictionary, such as a title."""
    return b"\xfe\xff" + text.encode("utf-16-be", "replace")
