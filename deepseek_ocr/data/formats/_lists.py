"""Files with many rows (JSON arrays, JSON lines), apart from the shape of their rows.

A shape of row is a reader that has, beside what every reader has,

* `is_row(value) -> bool`: whether a decoded row has the shape; never raises, whatever the value;
* `MARKS`, keys of which a row of the shape has at least one;
* `convert(row, file, folder) -> Iterator[Annotation | Problem]`: its samples, or all its problems.

`detect_rows` and `read_rows` make `detect` and `read` of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..annotations import Annotation
from ..folder import DatasetFolder
from ..json_files.rows import Row
from ..pages.embedded import TURN_KEYS, embedded_pictures
from ..pages.references import split_reference
from ..problems import CutShort, Problem, without_annotation
from ._containers import LINES, LISTS, list_files, rows_of
from ._detection import Detection, counted
from ._first_rows import LOOKED_AT, first_rows
from ._row_pictures import pictures_as_written

__all__ = ["LINES", "LISTS", "detect_rows", "read_rows"]

IsRow = Callable[[Mapping[str, Any]], bool]
Convert = Callable[[Row, str, DatasetFolder], Iterable[Annotation | Problem]]

EXACT_SCORE = 0.97  # of a shape that every row looked at has; above the 0.9 of the usual keys


def detect_rows(
    folder: DatasetFolder,
    is_row: IsRow,
    *,
    suffixes: Sequence[str] = LISTS,
    files: Sequence[str] | None = None,
    score: float = EXACT_SCORE,
) -> Detection | None:
    """How many of the first rows (of `files`, or all lists) have a shape; None if none has.

    A conversation without pictures, which may be of many shapes, is of that of its neighbours.
    """
    chosen = list_files(folder, suffixes) if files is None else files
    num_rows = num_matching = 0
    own_turns: set[str] = set()  # keys of conversations in rows of the shape
    text_only: list[str] = []  # those of other rows without pictures
    matching: list[str] = []
    for file in chosen[:LOOKED_AT]:
        rows = [row for row in first_rows(folder, file) if isinstance(row, Row)]
        matches = 0
        for row in rows:
            turns = [key for key in TURN_KEYS if isinstance(row.value.get(key), list)]
            if is_row(row.value):
                matches += 1
                own_turns.update(turns)
            elif turns and not embedded_pictures(row.value):
                text_only.append(turns[0])
        num_rows, num_matching = num_rows + len(rows), num_matching + matches
        if matches:
            matching.append(file)
    if not num_matching:
        return None
    num_matching += sum(key in own_turns for key in text_only)
    more = f" and {counted(len(matching) - 1, 'more file')}" if len(matching) > 1 else ""
    reason = (
        f"{num_matching} of the {num_rows} rows looked at in {matching[0]}{more} have this shape"
    )
    return Detection(score=score * num_matching / num_rows, reason=reason)


def read_rows(
    folder: DatasetFolder,
    convert: Convert,
    *,
    suffixes: Sequence[str] = LISTS,
    files: Sequence[str] | None = None,
) -> Iterator[Annotation | Problem]:
    """The samples of all rows (of `files`, or all lists); then the pictures that no row names.

    Where a file could not be read to its end nobody knows which pictures the rest of it names.
    Where only some of its rows could not, those pictures are counted: mending the rows will do.
    """
    chosen = list_files(folder, suffixes) if files is None else files
    not_named = set(folder.pictures)
    all_read, all_known = True, True  # all_known: which picture each bad row is about
    for file in chosen:
        for row in rows_of(folder, file):
            if isinstance(row, Problem):
                all_read = all_read and not isinstance(row, CutShort)
                all_known = False
                yield row
                continue
            for sample in convert(row, file, folder):
                if isinstance(sample, Annotation):
                    for image in sample.images:
                        not_named.discard(split_reference(image)[0] if "#" in image else image)
                elif not_named:  # its pictures are not without annotation
                    named = map(folder.named, pictures_as_written(row.value, file))
                    known = {picture for picture in named if picture is not None}
                    all_known = all_known and bool(known)
                    not_named -= known
                yield sample
    if all_read and not_named:
        left = [picture for picture in folder.pictures if picture in not_named]
        yield from _named_by_no_row(left, ", ".join(chosen[:3]), all_known)


def _named_by_no_row(pictures: Sequence[str], files: str, all_known: bool) -> Iterator[Problem]:
    if all_known:
        reason = f"no row of {files} names this picture; add a row or remove it"
        yield from (without_annotation(picture, reason) for picture in pictures)
        return
    others = f" and {counted(len(pictures) - 1, 'other')}" if len(pictures) > 1 else ""
    reason = f"this picture{others} are named" if others else "this picture is named"
    reason += f" by no row of {files} that can be used; mend the rows first"
    yield without_annotation(pictures[0], reason)
