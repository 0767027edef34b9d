"""The shapes of dataset that can be read: one module each, found by name.

A module of this package (unless its name begins with `_`) is a reader. It has

* `NAME`, what `--format` calls it, and `SUFFIXES`, how its annotation files end;
* `detect(folder) -> Detection | None`, how much of a folder it explains, at a glance;
* `read(folder) -> Iterator[Annotation | Problem]`, its samples in a fixed order. A row that cannot
  be used is a `Problem`, never an exception. `id`, `prompt` and `group` may be left empty where
  the dataset gives none: the split fills them in.

To add a format, add a file.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Protocol, cast

from ...errors import UsageError, UserError
from ..annotations import Annotation
from ..folder import DatasetFolder
from ..problems import Problem
from ._detection import Detection
from ._published_sides import sides_read_together


class Reader(Protocol):
    """A module that reads one shape of dataset."""

    NAME: str
    SUFFIXES: tuple[str, ...]

    def detect(self, folder: DatasetFolder) -> Detection | None: ...

    def read(self, folder: DatasetFolder) -> Iterator[Annotation | Problem]: ...


@functools.cache
def readers() -> Mapping[str, Reader]:
    """Every reader by its name."""
    names = sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return MappingProxyType({module.NAME: cast(Reader, module) for module in modules})


def choose_reader(folder: DatasetFolder, name: str = "auto") -> tuple[Reader, str]:
    """The reader called `name`, or for `auto` the one that explains most, and why it was chosen.

    Raises:
        UsageError: no reader has that name.
        UserError: the folder is empty, or no reader knows its shape.
    """
    known = readers()
    if name not in known and name != "auto":
        raise UsageError(f"--format: no format {name!r}; known: auto, {', '.join(known)}")
    if not folder.files:
        raise UserError(
            f"{folder.root}: the folder is empty; expected pictures and their annotations"
            f"{folder.not_read()}"
        )
    if name != "auto":
        suffixes = known[name].SUFFIXES
        if not folder.with_suffix(*suffixes):
            raise UserError(
                f"{folder.root}: no file ends in {' or '.join(suffixes)}, as --format {name} "
                "expects; leave --format out to have the shape found"
            )
        reason = "as --format says"
        return known[name], reason + sides_read_together(folder, known[name].SUFFIXES)
    found = [(reader.detect(folder), reader) for reader in known.values()]
    folder.beginnings.clear()
    detected = [(detection, reader) for detection, reader in found if detection is not None]
    if not detected:
        raise UserError(
            f"{folder.root}: no known format ({len(folder.files)} files, {len(folder.pictures)} "
            "of them pictures); expected annotations as docs/data_format.md shows, or name the "
            f"format with --format ({', '.join(known)}){folder.not_read()}"
        )
    detection, reader = max(detected, key=lambda pair: (pair[0].score, pair[1].NAME))
    return reader, detection.reason + sides_read_together(folder, reader.SUFFIXES)
