"""Pictures with a JSON file of the same name, whose object has a shape of its own.

As for rows (`_lists`), a shape is two functions: `is_shape(value) -> bool`, which never raises, and
`convert(row, file, images) -> Iterator[Annotation | Problem]`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..annotations import Annotation
from ..folder import DatasetFolder
from ..json_files.rows import Row, read_array, read_object
from ..problems import Problem
from ._detection import Detection
from ._first_rows import LOOKED_AT, first_rows
from ._pairs import pages_of, pair, paired_share, unpaired

IsShape = Callable[[Any], bool]
Convert = Callable[[Row, str, tuple[str, ...]], Iterable[Annotation | Problem]]

SUFFIXES = (".json",)


def detect_pairs(folder: DatasetFolder, is_shape: IsShape, score: float) -> Detection | None:
    """How many of the first JSON files have a shape, and how many pictures have such a file."""
    first = [row for row in first_objects(folder) if isinstance(row, Row)]
    matches = sum(is_shape(row.value) for row in first)
    if not matches:
        return None
    num_paired, num_pages = paired_share(pair(folder, SUFFIXES))
    if not num_paired:
        return None
    reason = f"{num_paired} of {num_pages} pictures have a .json file of the same name"
    share = matches / len(first) * num_paired / num_pages
    return Detection(score=score * share, reason=f"{reason}, of this shape")


def read_pairs(folder: DatasetFolder, convert: Convert) -> Iterator[Annotation | Problem]:
    """The sample of each JSON file; a file whose picture has several pages is about all of them."""
    for file, pictures, rivals in pair(folder, SUFFIXES):
        problem = unpaired(file, pictures, rivals, "a .json file", folder)
        if problem:
            yield problem
            continue
        assert file is not None
        row = object_of(folder, file)
        if isinstance(row, Problem):
            yield row
        else:
            yield from convert(row, file, (pages_of(pictures[0]),))


def first_objects(folder: DatasetFolder) -> Iterator[Row | Problem]:
    """The objects in the first JSON files, as far as one looks into them to find the format."""
    for file in folder.with_suffix(*SUFFIXES)[:LOOKED_AT]:
        yield _only_one(first_rows(folder, file), file)


def object_of(folder: DatasetFolder, file: str) -> Row | Problem:
    """The object that a file holds, alone or as the one element of a list; numbers as written."""
    path = folder.path(file)
    if file not in folder.arrays:
        return read_object(path, file, keep_numbers=True)
    return _only_one(list(read_array(path, file, keep_numbers=True)), file)


def _only_one(rows: Sequence[Row | Problem], file: str) -> Row | Problem:
    problem = next((row for row in rows if isinstance(row, Problem)), None)
    if problem is None and len(rows) != 1:
        reason = f"a list of {len(rows)} objects; expected one object for one picture"
        problem = Problem(kind="bad value", source=f"{file}:1", reason=reason)
    return problem or rows[0]


def bad_value(file: str, row: Row, reason: str, kind: str = "bad value") -> Problem:
    """The problem of a value in a JSON file."""
    return Problem(kind=kind, source=f"{file}:{row.place}", reason=reason)


def text_in(value: Mapping[str, Any], key: str) -> str:
    """The string under a key, "" without one.

    Raises:
        ValueError: it is no string.
    """
    found = value.get(key)
    if found is not None and not isinstance(found, str):
        raise ValueError(f"{key!r}: expected a string, found {found!r:.40}")
    return found or ""
