"""One annotation file by itself, as `deepseek-ocr check FILE` reads it.

Either rows that a split has written (or that look like them), read as strictly as training reads
them; or a file of any other format, of which only its own rows are told.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from ...errors import PageError, UsageError, UserError
from ..annotations import REQUIRED_KEYS, Annotation, find_faults, parse_annotation, rows_of
from ..folder import ANNOTATION_SUFFIXES, DatasetFolder
from ..formats import Reader, choose_reader
from ..formats._detection import Detection
from ..json_files.rows import Row
from ..pages.references import parse_reference
from ..problems import Problem
from ..splitting.earlier_split import FILE_NAMES, own_names

ROW_SUFFIXES = (".json", ".jsonl", ".ndjson")


def open_file(
    path: Path, data_root: Path | None, format_name: str
) -> tuple[DatasetFolder, Reader, str]:
    """What reads the rows of `path`, the folder that its pictures lie in, and why that reader.

    `data_root` None: the file's own folder.

    Raises:
        UserError: no reader knows the file's shape, or `data_root` holds none of its pictures.
    """
    root = path.parent if data_root is None else data_root
    if format_name == "auto" and is_split_file(path):
        _check_root(path, root)
        return _PicturesOnly(root), SplitRows(path), "its rows have the keys of train.json"
    folder = _OneFile(root, path)
    reader, reason = choose_reader(folder, format_name)
    return folder, _RowsOfOneFile(reader, folder.name), reason


def is_split_file(path: Path) -> bool:
    """Whether a split has written the file, or its first row has all keys of such a file's."""
    if path.name in FILE_NAMES.values() and path.name in own_names(path.parent):
        return True
    if path.suffix.lower() not in ROW_SUFFIXES:
        return False
    first = next(rows_of(path), None)
    return isinstance(first, Row) and all(key in first.value for key in REQUIRED_KEYS)


def _check_root(path: Path, root: Path) -> None:
    """Raises UserError if a split's file names pictures of which none lies below `root`.

    Looks no further than the first one that does.
    """
    missing: set[str] = set()
    first = ""
    for row in rows_of(path):
        images = row.value.get("images") if isinstance(row, Row) else None
        for image in images if isinstance(images, list) else ():
            file = _file_of(image)
            if file is None or file in missing:
                continue
            if (root / file).exists():
                return
            missing.add(file)
            first = first or file
    if missing:
        raise UserError(
            f"{path}: none of its pictures lies below {root}, the first being {first}; "
            "name the folder that they are relative to with --data_root"
        )


def _file_of(image: object) -> str | None:
    try:
        return parse_reference(image).path if isinstance(image, str) else None
    except PageError:
        return None


class SplitRows(Reader):
    """Reads `train.json`, `test.json` and their like; `source` is the place in that file."""

    NAME = "split"
    SUFFIXES = ROW_SUFFIXES

    def __init__(self, path: Path):
        self.path = path

    def detect(self, folder: DatasetFolder) -> Detection | None:
        """Never asked: the file was named."""
        return None

    def read(self, folder: DatasetFolder) -> Iterator[Annotation | Problem]:
        """Every row of the file."""
        for row in rows_of(self.path):
            if isinstance(row, Problem):
                yield row
                continue
            yield from self._told(row, f"{self.path}:{row.place}")

    def _told(self, row: Row, source: str) -> Iterator[Annotation | Problem]:
        try:
            annotation = dataclasses.replace(parse_annotation(row.value), source=source)
        except ValueError as error:
            yield Problem(kind="row", source=source, reason=str(error))
            return
        faults = list(find_faults(annotation))
        if all(kind != "prompt" for kind, _ in faults):
            yield annotation
            return
        for kind, reason in faults:  # of a dataset the prompt would be mended, here it is final
            yield Problem(kind=kind, source=source, reason=reason)


class _PicturesOnly(DatasetFolder):
    """The data root of a file whose rows name all they need: nothing in it is searched for."""

    def _walk(self, excluded: object) -> list[str]:
        return []


class _OneFile(DatasetFolder):
    """A dataset in which `path` is the only annotation file."""

    def __init__(self, root: Path, path: Path):
        super().__init__(root)
        try:
            self.name = path.resolve().relative_to(root.resolve()).as_posix()
        except ValueError:
            raise UsageError(
                f"{path}: lies outside the data root {root}; name the folder that holds both"
            ) from None
        if self.name not in self.files or self.name in self.pictures:
            raise UserError(f"{path}: is no annotation file of {root}{self.not_read()}")
        others = (f for f in self.files if f.lower().endswith(ANNOTATION_SUFFIXES))
        dropped = set(others) - {self.name}
        self.files = tuple(file for file in self.files if file not in dropped)
        self.problems = tuple(p for p in self.problems if p.source == self.name)
        self.unread_pictures = ()


class _RowsOfOneFile(Reader):
    """What a reader finds in one file; pictures and files that it does not name are not told."""

    def __init__(self, reader: Reader, name: str):
        self.NAME, self.SUFFIXES = reader.NAME, reader.SUFFIXES
        self._reader, self._name = reader, name

    def detect(self, folder: DatasetFolder) -> Detection | None:
        """As the reader."""
        return self._reader.detect(folder)

    def read(self, folder: DatasetFolder) -> Iterator[Annotation | Problem]:
        """As the reader, less what is of other files."""
        for found in self._reader.read(folder):
            also = found.also_read if isinstance(found, Annotation) else ()
            source = found.source or ""
            if self._name in (source, source.rpartition(":")[0], *also):
                yield found
