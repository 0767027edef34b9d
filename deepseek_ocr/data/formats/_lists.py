"""Files with many rows, each of which names its pictures."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from ..annotations import Annotation
from ..folder import DatasetFolder
from ..json_rows import Row
from ..pages import split_reference
from ..problems import CutShort, Problem, without_annotation
from ._detection import Detection
from ._rows import TURN_KEYS, annotation_of, image_paths

ReadRows = Callable[[Path, str], Iterator[Row | Problem]]

LOOKED_AT = 20  # rows of each file


def detect_lists(
    folder: DatasetFolder, files: Sequence[str], read_rows: ReadRows
) -> Detection | None:
    """Whether the first rows of these files name pictures."""
    if not files:
        return None
    good = [file for file in files if _names_pictures(folder, file, read_rows)]
    if not good:  # kept as a last resort, so that what is wrong with the rows is reported
        reason = f"{files[0]} may hold rows, though none of its first {LOOKED_AT} names a picture"
        return Detection(score=0.01, reason=reason)
    shown = good[0] if len(good) == 1 else f"{good[0]} and {len(good) - 1} more files"
    return Detection(score=0.9, reason=f"the rows of {shown} name their pictures")


def read_lists(
    folder: DatasetFolder, files: Sequence[str], read_rows: ReadRows
) -> Iterator[Annotation | Problem]:
    """The samples of all rows; then the pictures that no row names.

    Where a file could not be read to its end nobody knows which pictures the rest of it names.
    """
    named: set[str] = set()
    all_read = True
    for file in files:
        for row in read_rows(folder.path(file), file):
            if isinstance(row, Problem):
                all_read = all_read and not isinstance(row, CutShort)
                yield row
                continue
            for sample in annotation_of(row, file, folder):
                if isinstance(sample, Annotation):
                    named.update(split_reference(image)[0] for image in sample.images)
                yield sample
            named.update(_as_written(row, file))
    for picture in folder.pictures if all_read else ():
        if picture not in named:
            reason = f"no row of {', '.join(files[:3])} names this picture; add a row or remove it"
            yield without_annotation(picture, reason)


def _as_written(row: Row, file: str) -> Iterator[str]:
    """Pictures of a row that may be bad for another reason: they are not without annotation."""
    place = file.rpartition("/")[0]
    for image in image_paths(row.value) or []:
        path = image.split("#")[0].removeprefix("./")
        yield path
        yield posixpath.normpath(f"{place or '.'}/{path}")


def _names_pictures(folder: DatasetFolder, file: str, read_rows: ReadRows) -> bool:
    rows = islice(read_rows(folder.path(file), file), LOOKED_AT)
    return any(
        isinstance(row, Row) and (image_paths(row.value) or any(k in row.value for k in TURN_KEYS))
        for row in rows
    )
