"""`datasets`: parquet files and folders of `save_to_disk`, as Hugging Face `datasets` writes them.

Columns are called as the keys of a row are; pictures may lie within (`data.parquet#row=7`).
Reading them needs pyarrow. https://huggingface.co/docs/datasets
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from ..annotations import Annotation
from ..folder import DatasetFolder
from ..json_files.rows import read_object
from ..problems import Problem
from ._containers import COLUMNS
from ._detection import Detection
from ._generic import LAST_RESORT, convert, names_pictures
from ._lists import read_rows
from ._shapes import detect_shape

NAME = "datasets"
SUFFIXES = COLUMNS
SCORE = 0.95


def detect(folder: DatasetFolder) -> Detection | None:
    files = _data_files(folder)
    found = detect_shape(folder, names_pictures, files=files, score=SCORE)
    if files and found is None:  # so that what is wrong with them is told, pyarrow missing perhaps
        return Detection(score=LAST_RESORT, reason=f"{files[0]} may hold rows")
    return found


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """All files in the folder, in the order of their names."""
    return read_rows(folder, convert, files=_data_files(folder))


def _data_files(folder: DatasetFolder) -> list[str]:
    """Without the caches of computed columns that lie beside a saved dataset's own files."""
    own: dict[str, frozenset[str] | None] = {}
    found = []
    for file in folder.with_suffix(*SUFFIXES):
        place, name = posixpath.split(file)
        if place not in own:
            own[place] = _listed(folder, posixpath.join(place, "state.json"))
        listed = own[place]
        if listed is None or name in listed or not name.lower().endswith(".arrow"):
            found.append(file)
    return found


def _listed(folder: DatasetFolder, state: str) -> frozenset[str] | None:
    """The arrow files that a folder's `state.json` lists; None where there is no such list."""
    if state not in folder.names:
        return None
    row = read_object(folder.path(state), state)
    files = None if isinstance(row, Problem) else row.value.get("_data_files")
    if not isinstance(files, list):
        return None
    return frozenset(str(f.get("filename")) for f in files if isinstance(f, dict))
