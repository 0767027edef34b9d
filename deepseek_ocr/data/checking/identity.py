"""Which sample is which: names for samples without one, and names that are there twice.

Names are compared by 64-bit hashes, and where these are equal by their text.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from hashlib import blake2b

from ..annotations import Annotation
from ..problems import Problem
from .spool import Spool


def hash64(text: str) -> int:
    """64 bits of a text, the same on every machine."""
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


class Names:
    """Gives names to samples without an id, and keeps the hashes of all names, in order."""

    def __init__(self) -> None:
        self.hashes = array("Q")
        self._counts: dict[int, int] = {}  # hash of a given name -> samples that wanted it

    def name_of(self, row: Annotation) -> str:
        """The row's id; without one its first picture (or its file, if it has all pages of it),
        with `~2` behind it for the second sample of that name, and so on."""
        name = row.id or self._given(row)
        self.hashes.append(hash64(name))
        return name

    def _given(self, row: Annotation) -> str:
        name = row.source or "row"
        if row.images:
            path, whole, _ = row.images[0].partition("#page=*")
            name = path if whole else row.images[0]
        key = hash64(name)
        count = self._counts[key] = self._counts.get(key, 0) + 1
        return name if count == 1 else f"{name}~{count}"


def repeated_ids(hashes: array[int], rows: Spool[Annotation]) -> Iterator[tuple[int, Problem]]:
    """Each row whose id an earlier one has: its place, and the problem that it is.

    `hashes` are those of the ids of `rows`.
    """
    import numpy as np  # here, so that --help answers without it

    values = np.frombuffer(hashes, dtype=np.uint64)
    ordered = np.sort(values)
    repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    first: dict[str, str] = {}  # id -> source
    for place in np.flatnonzero(np.isin(values, repeated)).tolist():
        row = rows[place]
        if row.id in first:
            reason = f"the id {row.id!r} is already that of {first[row.id]}; give it another"
            yield place, Problem(kind="duplicate id", source=row.source or "", reason=reason)
        else:
            first[row.id] = row.source or ""
