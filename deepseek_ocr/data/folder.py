"""The files of a dataset folder, listed once, in an order that the disk does not decide."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from ..errors import UserError
from ..pictures import SUFFIXES


class DatasetFolder:
    """The files below `root`, as sorted relative paths with `/`; hidden ones are left out.

    `left_out` are paths (files or folders) that are no part of the dataset, such as an output
    folder inside it. Linked folders are not followed. `unnameable` are files whose name is not
    UTF-8, which no annotation can name.
    """

    def __init__(self, root: Path, left_out: Collection[Path] = ()):
        self.root = Path(root)
        _check_folder(self.root)
        excluded = {path.resolve() for path in left_out}
        found = sorted(self._walk(excluded), key=natural_order)
        self.files: tuple[str, ...] = tuple(file for file in found if _is_text(file))
        self.unnameable: tuple[str, ...] = tuple(_bytes_shown(f) for f in found if not _is_text(f))

    def _walk(self, excluded: Collection[Path]) -> list[str]:
        found = []
        for folder, folders, files in os.walk(self.root, onerror=_refuse):
            place = Path(folder)
            folders[:] = [
                name
                for name in folders
                if not name.startswith(".") and (place / name).resolve() not in excluded
            ]
            for name in files:
                path = place / name
                if not name.startswith(".") and not (excluded and path.resolve() in excluded):
                    found.append(path.relative_to(self.root).as_posix())
        return found

    @functools.cached_property
    def pictures(self) -> tuple[str, ...]:
        """The files that are pictures by their name."""
        return self.with_suffix(*SUFFIXES)

    @functools.cached_property
    def names(self) -> frozenset[str]:
        """All files, for looking up."""
        return frozenset(self.files)

    def with_suffix(self, *suffixes: str) -> tuple[str, ...]:
        """The files whose name ends so (lower-case suffixes with their dot)."""
        return tuple(file for file in self.files if file.lower().endswith(suffixes))

    def path(self, file: str) -> Path:
        """Where a listed file lies."""
        return self.root / file


def natural_order(text: str) -> tuple[tuple[str | int, ...], str]:
    """Sorts page2 before page10."""
    parts = re.split(r"(\d+)", text)
    return tuple(int(part) if i % 2 else part for i, part in enumerate(parts)), text


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
