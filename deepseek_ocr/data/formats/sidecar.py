"""`sidecar`: each picture has a JSON file of the same name (`a.png` and `a.json`)."""

from __future__ import annotations

from collections.abc import Iterator

from ..annotations import Annotation
from ..folder import DatasetFolder
from ..json_rows import read_object
from ..pages import split_reference
from ..problems import Problem, without_annotation
from ._detection import Detection
from ._pairs import pair, unpaired
from ._rows import annotation_of, image_paths

NAME = "sidecar"
SUFFIXES = (".json",)


def detect(folder: DatasetFolder) -> Detection | None:
    num_pairs = sum(file is not None and bool(p) for file, p, _ in pair(folder, SUFFIXES))
    if not num_pairs:
        return None
    return Detection(
        score=num_pairs / len(folder.pictures),
        reason=f"{num_pairs} of {len(folder.pictures)} pictures have a .json file of the same name",
    )


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """One sample a JSON file; a file that lists its `images` itself needs none of its name."""
    used: set[str] = set()
    left: list[Problem] = []  # pictures that may yet be a page of another file's sample
    for file, pictures, rivals in pair(folder, SUFFIXES):
        problem = unpaired(file, pictures, rivals, "a .json file")
        if file is None:
            left.extend([problem] if problem else [])
            continue
        row = read_object(folder.path(file), file)
        if isinstance(row, Problem):
            yield row
        elif problem and (not image_paths(row.value) or rivals):
            yield problem
        else:
            for sample in annotation_of(row, file, folder, pictures or None):
                if isinstance(sample, Annotation):
                    used.update(split_reference(image)[0] for image in sample.images)
                    left.extend(_not_listed(picture, file) for picture in pictures)
                yield sample
    yield from (problem for problem in left if problem.source not in used)


def _not_listed(picture: str, file: str) -> Problem:
    reason = f"{file} does not list this picture under 'images'; add it there or remove it"
    return without_annotation(picture, reason)
