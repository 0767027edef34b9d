"""The paths that pictures within rows are said to have had, and those that tell nothing.

Hugging Face keeps the name of each picture without its folder: `page_1.png` may be the first page
of every document of a dataset, and `image.png` all its pictures. A path is believed where all
pictures that have it are the same.
"""

from __future__ import annotations

import dataclasses
from array import array
from collections.abc import Iterable

from ..annotations import Annotation
from ..inspection.verification import PictureReports
from .identity import hash64


class HeldNames:
    """Notes rows as they are read; once the pictures are known, takes away what tells nothing."""

    def __init__(self) -> None:
        self._hashes = array("Q")  # of each path of each row
        self._of_several: frozenset[int] = frozenset()  # hashes of paths of different pictures

    def note(self, row: Annotation) -> None:
        """Take account of a row."""
        self._hashes.extend(hash64(path) for path in row.held_names.values())

    def compare(self, rows: Iterable[Annotation], pictures: PictureReports) -> None:
        """Find the paths that different pictures have; `rows` are those that were noted."""
        import numpy as np  # here, so that --help answers without it

        ordered = np.sort(np.frombuffer(self._hashes, dtype=np.uint64))
        repeated = set(ordered[1:][ordered[1:] == ordered[:-1]].tolist())
        if not repeated:
            return
        shown: dict[int, str] = {}
        of_several: set[int] = set()
        for row in rows:
            for reference, path in row.held_names.items():
                if (key := hash64(path)) not in repeated:
                    continue
                page = pictures.page(reference)
                if not page.fault and shown.setdefault(key, page.fingerprint) != page.fingerprint:
                    of_several.add(key)
        self._of_several = frozenset(of_several)

    def believed(self, row: Annotation) -> Annotation:
        """The row without the paths that different pictures have."""
        if not self._of_several or not row.held_names:
            return row
        kept = {r: p for r, p in row.held_names.items() if hash64(p) not in self._of_several}
        return dataclasses.replace(row, held_names=kept)
