"""The files of a dataset folder, listed once, in an order that the disk does not decide."""

from __future__ import annotations

import functools
import os
import re
import unicodedata
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from ..errors import UserError
from ..pictures import SUFFIXES
from .json_files.rows import first_character
from .problems import Problem
from .splitting.earlier_split import EXPORT_MARK, own_names

ANNOTATION_SUFFIXES = (
    *(".json", ".jsonl", ".ndjson", ".txt", ".csv", ".tsv", ".lst"),
    *(".xml", ".html", ".htm", ".xhtml", ".hocr", ".md", ".mmd", ".markdown"),
    *(".parquet", ".arrow"),
)

UNREAD_PICTURES = (
    *(".heic", ".heif", ".avif", ".jxl", ".jp2", ".j2k", ".jpf", ".jpx", ".mpo", ".tga", ".pcx"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".djvu", ".djv", ".svg", ".psd", ".xcf", ".eps"),
    *(".dng", ".cr2", ".nef", ".arw"),
)
"""Endings of kinds of pictures that are not read."""
CONVERT_IT = "convert it to PNG or JPEG"

_NUMBER = re.compile(r"\d+")


class Beginning(NamedTuple):
    """The first rows of a file (or problems), and how many bytes of it were read."""

    rows: Sequence[Any]
    num_bytes: int


class DatasetFolder:
    """The files below `root`, as sorted relative paths with `/`; hidden ones are left out.

    `left_out` are paths (files or folders) that are no part of the dataset, such as an output
    folder inside it; neither are the files of an earlier split. Linked folders are not followed.
    `problems` are files that cannot be used: with a name that is not UTF-8, which no annotation can
    name, annotations that are links out of `root`, and linked folders outside it.
    `unread_pictures` are those of a kind that is not read, by their name.
    """

    def __init__(self, root: Path, left_out: Collection[Path] = ()):
        self.root = Path(root)
        self.beginnings: dict[str, Beginning] = {}  # kept while the format is being found
        _check_folder(self.root)
        excluded = {path.resolve() for path in left_out}
        self._real_root = self.root.resolve()
        self._linked_folders: list[str] = []
        self._left_behind: list[str] = []
        self._exports: list[str] = []
        found = sorted(self._walk(excluded), key=natural_order)
        named = [file for file in found if _is_text(file)]
        outside = {file for file in named if self._is_annotation_outside(file)}
        self.files: tuple[str, ...] = tuple(file for file in named if file not in outside)
        self.unread_pictures = self.with_suffix(*UNREAD_PICTURES)
        self.problems: tuple[Problem, ...] = (
            *(_bad_name(_bytes_shown(file)) for file in found if not _is_text(file)),
            *(_leads_out(file) for file in named if file in outside),
            *(_leads_out(place) for place in sorted(self._linked_folders, key=natural_order)),
        )

    def _walk(self, excluded: Collection[Path]) -> list[str]:
        found = []
        for folder, folders, files in os.walk(self.root, onerror=_refuse):
            place = Path(folder)
            if EXPORT_MARK in files:
                self._exports.append(place.relative_to(self.root).as_posix())
                folders.clear()
                continue
            folders[:] = [
                name
                for name in folders
                if not name.startswith(".") and _real(place / name) not in excluded
            ]
            for name in folders:
                if (place / name).is_symlink() and self._is_outside(place / name):
                    shown = _shown((place / name).relative_to(self.root).as_posix())
                    self._linked_folders.append(shown)
            own = own_names(place)
            for name in files:
                path = place / name
                if name in own:
                    self._left_behind.append(path.relative_to(self.root).as_posix())
                hidden = name.startswith(".") or name in own
                if not hidden and not (excluded and _real(path) in excluded):
                    found.append(path.relative_to(self.root).as_posix())
        return found

    def _is_annotation_outside(self, file: str) -> bool:
        path = self.path(file)
        is_annotation = file.lower().endswith(ANNOTATION_SUFFIXES)
        return is_annotation and path.is_symlink() and self._is_outside(path)

    def _is_outside(self, path: Path) -> bool:
        real = _real(path)
        return real is None or not real.is_relative_to(self._real_root)

    def not_read(self) -> str:
        """Why files that lie in the folder are not among `files`, for errors; "" without any."""
        reasons = []
        if self._left_behind:
            first = max(self._left_behind, key=lambda file: file.endswith("train.json"))
            reasons.append(f"{first} is of an earlier split and is not read")
        if self._exports:
            reasons.append(
                f"{_shown(min(self._exports))} is an export of an earlier split and is not read; "
                f"delete {EXPORT_MARK} in it to have it read"
            )
        if self.problems:
            more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
            reasons.append(f"{self.problems[0]}{more}")
        if self.unread_pictures:
            more = f" (and {len(self.unread_pictures) - 1} more)"
            unread = unread_picture(self.unread_pictures[0])
            reasons.append(f"{unread}{more if len(self.unread_pictures) > 1 else ''}")
        return "".join(f"\n{reason}" for reason in reasons)

    @functools.cached_property
    def pictures(self) -> tuple[str, ...]:
        """The files that are pictures by their name."""
        return self.with_suffix(*SUFFIXES)

    @functools.cached_property
    def arrays(self) -> frozenset[str]:
        """The `.json` files that hold a list, or cannot be read (reading them tells the reason)."""
        return frozenset(file for file in self.with_suffix(".json") if self._holds_array(file))

    def _holds_array(self, file: str) -> bool:
        try:
            return first_character(self.path(file)) == "["
        except OSError:
            return True

    @functools.cached_property
    def names(self) -> frozenset[str]:
        """All files, for looking up."""
        return frozenset(self.files)

    def named(self, path: str) -> str | None:
        """The file of a name, however its accents are composed: macOS takes them apart."""
        if path in self.names:
            return path
        found = () if path.isascii() else self._by_composed.get(_composed(path), ())
        return found[0] if len(found) == 1 else None

    @functools.cached_property
    def _by_composed(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for file in self.files:
            if not file.isascii():
                found.setdefault(_composed(file), []).append(file)
        return found

    def with_suffix(self, *suffixes: str) -> tuple[str, ...]:
        """The files whose name ends so (lower-case suffixes with their dot)."""
        return tuple(file for file in self.files if file.lower().endswith(suffixes))

    def path(self, file: str) -> Path:
        """Where a listed file lies."""
        return self.root / file


def is_unread_picture(file: str) -> bool:
    """Whether a file is by its name a picture of a kind that is not read."""
    return file.lower().endswith(UNREAD_PICTURES)


def unread_picture(file: str) -> Problem:
    """The problem of such a picture, which no row names."""
    reason = f"a kind of picture that is not read; {CONVERT_IT}"
    return Problem(kind="picture of another kind", source=file, reason=reason, of_row=False)


def natural_order(text: str) -> tuple[str, str]:
    """Sorts page2 before page10; a key is hardly larger than its text, for a million of files."""
    return _NUMBER.sub(_sortable, text), text


def _sortable(number: re.Match[str]) -> str:
    """A number so that those of more digits come later, and all before letters."""
    digits = str(int(number[0]))
    return f"\0{chr(len(digits))}{digits}"


def _real(path: Path) -> Path | None:
    """Where links lead; None for a link to itself."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return None


def _leads_out(place: str) -> Problem:
    reason = "a link that leads out of the data root; copy what it names into its place"
    return Problem(kind="link out of the data root", source=place, reason=reason, of_row=False)


def _bad_name(file: str) -> Problem:
    reason = "the file's name is not UTF-8; rename it"
    return Problem(kind="bad file name", source=file, reason=reason, of_row=False)


def _composed(path: str) -> str:
    return unicodedata.normalize("NFC", path)


def _shown(name: str) -> str:
    return name if _is_text(name) else _bytes_shown(name)


def _is_text(name: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _bytes_shown(name: str) -> str:
    return str(os.fsencode(name))[2:-1]


def stem_of(file: str) -> str:
    """`a/b.c.png` -> `a/b.c`."""
    return str(PurePosixPath(file).with_suffix(""))


def _check_folder(root: Path) -> None:
    advice = "expected the folder that holds the pictures and their annotations"
    if not root.exists():
        raise UserError(f"{root}: does not exist; {advice}")
    if not root.is_dir():
        raise UserError(f"{root}: is a file; {advice}")


def _refuse(error: OSError) -> None:
    raise UserError(f"{error.filename}: the folder cannot be read ({error.strerror})")
