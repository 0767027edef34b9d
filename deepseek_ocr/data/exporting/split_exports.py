"""A split in the shape of another tool too: `llava/train.json` beside `train.json`, and so on.

The folder of an export has a hidden mark, by which it is known again: it is no part of a dataset
that it lies in, and a later split may replace it, as long as its files are as they were written.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from ...errors import UserError
from ...files import sha256_of
from ..annotations import Annotation
from ..splitting.config import Side
from ..splitting.earlier_split import (
    EXPORT_MARK,
    FILE_NAMES,
    UNFINISHED_NAME,
    written_hashes,
)
from .files import FORMATS, export, export_format

_UNFINISHED = b"unfinished\n"  # in the mark, until the manifest knows the files


def export_names(value: str | None) -> tuple[str, ...]:
    """`--export llava+swift` -> the formats, each once.

    Raises:
        UsageError: there is no such format.
    """
    names = tuple(dict.fromkeys(value.split("+"))) if value is not None else ()
    for name in names:
        export_format(name)
    return names


def check_exports(output_dir: Path, names: Sequence[str]) -> None:
    """Check that these exports can be written; earlier ones must be as they were written.

    Earlier ones of other names are checked too, since they do not stay.

    Raises:
        UserError: a file or folder that no split has written, or that was changed since.
    """
    for name in names:
        _check_place(output_dir, name)
    if (output_dir / UNFINISHED_NAME).exists():  # checked before that split began
        return
    written = written_hashes(output_dir)
    for name in FORMATS:
        for file in _files(output_dir, name):
            if sha256_of(output_dir / file) != written.get(file):
                raise UserError(
                    f"{output_dir / file}: was changed since --export wrote it and would be lost; "
                    "name another --output_dir, or move it away"
                )


def _check_place(output_dir: Path, name: str) -> None:
    folder = output_dir / name
    is_ours = not folder.exists() or (folder / EXPORT_MARK).is_file()
    if not is_ours and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError(
            f"{folder}: was not written by an earlier --export and would be lost; name another "
            "--output_dir, or move it away"
        )


def write_export(
    output_dir: Path, name: str, sides: Mapping[Side, Iterable[Annotation]]
) -> list[str]:
    """Write the rows of each side; the files' names, relative to `output_dir`.

    Raises:
        UserError: a row that the format cannot hold.
    """
    remove_export(output_dir, name)
    (output_dir / name).mkdir(exist_ok=True)
    (output_dir / name / EXPORT_MARK).write_bytes(_UNFINISHED)
    written = []
    for side, rows in sides.items():
        file = f"{name}/{export_format(name).file_name.format(side=side)}"
        try:
            export(output_dir / file, rows, name)
        except ValueError as error:
            raise UserError(f"--export {name}: {error}; leave the row out, or --export") from None
        written.append(file)
    return written


def finish_exports(output_dir: Path, names: Iterable[str]) -> None:
    """Mark exports as whole, once the manifest knows their files."""
    for name in names:
        (output_dir / name / EXPORT_MARK).write_bytes(b"")


def remove_stale_exports(output_dir: Path, kept: Sequence[str]) -> list[str]:
    """Remove the exports of earlier splits but those called `kept`; the files that were removed."""
    removed = []
    for name in FORMATS:
        if name not in kept:
            removed += sorted(_existing(output_dir, name))
            remove_export(output_dir, name)
    return removed


def _files(output_dir: Path, name: str) -> Iterator[str]:
    """The files of a whole export of an earlier split."""
    mark = output_dir / name / EXPORT_MARK
    if mark.is_file() and mark.read_bytes() != _UNFINISHED:
        yield from _existing(output_dir, name)


def _existing(output_dir: Path, name: str) -> Iterator[str]:
    if (output_dir / name / EXPORT_MARK).is_file():
        for side in FILE_NAMES:
            file = f"{name}/{FORMATS[name].file_name.format(side=side)}"
            if (output_dir / file).is_file():
                yield file


def remove_export(output_dir: Path, name: str) -> None:
    """Remove an export of an earlier split, if there is one; files of others in it stay."""
    folder = output_dir / name
    if not (folder / EXPORT_MARK).is_file():
        return
    for side in FILE_NAMES:
        path = folder / FORMATS[name].file_name.format(side=side)
        path.unlink(missing_ok=True)
        if path.parent != folder:
            _remove_if_empty(path.parent)
    (folder / EXPORT_MARK).unlink()
    _remove_if_empty(folder)


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
