"""`sidecar`: each picture has a JSON file of the same name (`a.png` and `a.json`)."""

from __future__ import annotations

from collections.abc import Iterator

from ..annotations import Annotation
from ..folder import DatasetFolder
from ..json_files.rows import Row, read_object
from ..pages.embedded import in_usual_case
from ..pages.references import split_reference
from ..problems import Problem, without_annotation
from ._detection import Detection
from ._json_pairs import first_objects
from ._pairs import pages_of, pair, paired_share, unpaired
from ._placed import PlacedRow
from ._row_pictures import picture_key
from ._rows import TEXT_KEYS, USUAL_KEYS, annotation_of
from ._turns import TURN_KEYS

NAME = "sidecar"
SUFFIXES = (".json",)
SAMPLE_KEYS = frozenset((*TEXT_KEYS, *TURN_KEYS))
UNSURE = 0.5  # where no file has a text that is known; other shapes of JSON may fit better


def detect(folder: DatasetFolder) -> Detection | None:
    num_paired, num_pages = paired_share(pair(folder, SUFFIXES))
    if not num_paired:
        return None
    found = (row.value for row in first_objects(folder) if isinstance(row, Row))
    rows = [in_usual_case(value, USUAL_KEYS) for value in found]
    sure = not rows or any(not SAMPLE_KEYS.isdisjoint(row) for row in rows)
    reason = f"{num_paired} of {num_pages} pictures have a .json file of the same name"
    return Detection(score=(1 if sure else UNSURE) * num_paired / num_pages, reason=reason)


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """One sample a JSON file; a file that lists its `images` itself needs none of its name."""
    used: set[str] = set()
    left: list[Problem] = []  # pictures that may yet be a page of another file's sample
    for file, pictures, rivals in pair(folder, SUFFIXES):
        problem = unpaired(file, pictures, rivals, "a .json file", folder)
        if file is None:
            left.extend([problem] if problem else [])
            continue
        row = read_object(folder.path(file), file)
        if isinstance(row, Row):
            row = Row(row.line, dict(in_usual_case(row.value, USUAL_KEYS)))
        if isinstance(row, Problem):
            yield row
        elif problem and (not picture_key(row.value) or rivals):
            yield problem
        else:
            row = PlacedRow(row.line, row.value)  # of an object alone no line can be named
            pages = [pages_of(picture) for picture in pictures] or None
            for sample in annotation_of(row, file, folder, pages):
                if isinstance(sample, Annotation):
                    used.update(split_reference(image)[0] for image in sample.images)
                    left.extend(_not_listed(picture, file) for picture in pictures)
                yield sample
    yield from (problem for problem in left if problem.source not in used)


def _not_listed(picture: str, file: str) -> Problem:
    reason = f"{file} does not list this picture under 'images'; add it there or remove it"
    return without_annotation(picture, reason)
