"""What names a page: a path relative to the data root, or a part of such a file.

| reference | the page |
|---|---|
| `scan.png` | the picture |
| `scans.tif#page=2`, `report.pdf#page=3` | a frame of a picture, a page of a PDF |
| `report.pdf#page=*` | all its pages, one after another (from readers of datasets only) |
| `d.parquet#row=7`, `d.arrow#row=7&image=2`, `d.json#row=7` | a picture that a row holds |
| `d.jsonl#line=7`, `d.jsonl#line=7&image=2` | a picture that the object of a line holds |
| `scan.png#crop=content`, `f.pdf#page=2&crop=content` | the page, cut to its ink with a margin |

Every number counts from 1.
"""

from __future__ import annotations

import dataclasses
import functools
import re

from ...errors import PageError

_PARTS = re.compile(r"(?:page|row|line|crop)=[\w*]*(?:&\w*(?:=[\w*]*)?)*", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,12}")
_KEYS = (("page",), ("row",), ("row", "image"), ("line",), ("line", "image"))
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


@dataclasses.dataclass(frozen=True, slots=True)
class Reference:
    """A parsed reference; None for what it does not say.

    `is_whole` is `#page=*`, `crop` is `crop=content`. `str` gives its one spelling.
    """

    path: str
    page: int | None = None
    row: int | None = None
    line: int | None = None
    image: int | None = None
    is_whole: bool = False
    crop: bool = False

    @property
    def is_embedded(self) -> bool:
        """Whether the page lies in a row of a file."""
        return self.row is not None or self.line is not None

    @property
    def part(self) -> str:
        """What follows the path, from `#` on; "" for a whole file."""
        parts = ["page=*"] if self.is_whole else []
        for key in ("page", "row", "line", "image"):
            number = getattr(self, key)
            if number is not None:
                parts.append(f"{key}={number}")
        if self.crop:
            parts.append("crop=content")
        return "#" + "&".join(parts) if parts else ""

    def __str__(self) -> str:
        return self.path + self.part


@functools.lru_cache(1 << 14)  # rows name the same pages, and passes name them again
def parse_reference(reference: str) -> Reference:
    """A reference as annotations write it -> its parts.

    Raises:
        PageError: the reference is no relative path inside a folder, or names no known part.
    """
    path, _, part = reference.rpartition("#")
    if not _PARTS.fullmatch(part):  # a # of the file's own name, or none
        _check_path(reference, reference)
        return Reference(reference)
    _check_path(path, reference)
    pairs = [pair.partition("=")[::2] for pair in part.split("&")]
    crop = pairs[-1] == ("crop", "content")
    numbers = pairs[:-1] if crop else pairs
    if numbers == [("page", "*")]:
        return Reference(path, is_whole=True, crop=crop)
    keys = tuple(key for key, _ in numbers)
    known = keys in _KEYS or (crop and not keys)
    if not known or not all(_NUMBER.fullmatch(number) for _, number in numbers):
        raise PageError(
            f"{shown(reference)}: this part of a file cannot be read; expected #page=NUMBER, "
            "#row=NUMBER or #line=NUMBER (with &image=NUMBER), with &crop=content or without"
        )
    if not all(int(number) for _, number in numbers):
        raise PageError(f"{shown(reference)}: {keys[0]}s count from 1")
    counts = {key: int(number) for key, number in numbers}
    page, row, line, image = (counts.get(key) for key in ("page", "row", "line", "image"))
    return Reference(path, page=page, row=row, line=line, image=image, crop=crop)


def split_reference(reference: str) -> tuple[str, int]:
    """`f.tif#page=2` -> (`f.tif`, 2); a reference without a page number names page 1.

    Raises:
        PageError: as `parse_reference`.
    """
    parsed = parse_reference(reference)
    return parsed.path, parsed.page or 1


def shown(reference: str) -> str:
    """A reference as messages show it."""
    return reference if reference.isprintable() else repr(reference)


def _check_path(path: str, reference: str) -> None:
    if not path or "\0" in path:
        raise PageError(f"{shown(reference)}: expected the path of a page")
    if path[0] == "/" or _DRIVE.match(path):
        raise PageError(
            f"{shown(reference)}: an absolute path; expected one relative to the data root"
        )
    if ".." in path and ".." in path.split("/"):
        raise PageError(
            f"{shown(reference)}: leads out of the data root; expected a path relative to it"
        )
