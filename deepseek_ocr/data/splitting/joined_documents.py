"""Documents that must stay together, joined to one that is called by the first of their names."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from .columns import SampleColumns
from .joining import JoinedPlaces, changes
from .near_duplicates import DuplicateSets


@dataclasses.dataclass(frozen=True, kw_only=True)
class JoinedDocuments:
    """Joined documents, by number from 0.

    `of_place[place]` is that of a sample. The names that were joined, each once: that of
    `members[i]` has the hash `hashes[i]` and stands at `columns.names[names[i]]`. `first_names` is
    the place of the name by which a joined document is called.
    """

    of_place: NDArray[np.int32]
    members: NDArray[np.int32]
    hashes: NDArray[np.uint64]
    names: NDArray[np.uint32]
    first_names: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.first_names)

    def several(self) -> Iterator[tuple[int, NDArray[np.uint32]]]:
        """The documents that were joined of two names or more, with the places of all names."""
        yield from _several(self.members, self.names)


def places_of_documents(columns: SampleColumns) -> JoinedPlaces:
    """The samples with those joined that share a document, or a file that copies are joined of."""
    joined = JoinedPlaces(len(columns))
    for links in (columns.documents, columns.files):
        joined.join_equal(np.asarray(links.places), np.asarray(links.hashes))
    return joined


def join_documents(columns: SampleColumns, duplicates: Sequence[DuplicateSets]) -> JoinedDocuments:
    """The documents of all samples; joined are those of a sample, a file or a near-duplicate."""
    joined = places_of_documents(columns)
    for sets in duplicates:
        joined.join_equal(sets.places, sets.keys)
    of_place = joined.labels()
    members = of_place[np.asarray(columns.documents.places)]
    hashes, names = np.asarray(columns.documents.hashes), np.asarray(columns.document_names)
    order = np.lexsort((hashes, members))
    order = order[changes(members[order]) | changes(hashes[order])]
    members, hashes, names = members[order], hashes[order], names[order]
    first_names = names[changes(members)].copy()
    for number, places in _several(members, names):
        first_names[number] = min(places, key=lambda place: columns.names[int(place)])
    return JoinedDocuments(
        of_place=of_place, members=members, hashes=hashes, names=names, first_names=first_names
    )


def _several(
    members: NDArray[np.int32], names: NDArray[np.uint32]
) -> Iterator[tuple[int, NDArray[np.uint32]]]:
    starts = np.flatnonzero(changes(members))
    ends = np.append(starts[1:], len(members))
    for number in np.flatnonzero(ends - starts > 1):
        yield int(number), names[starts[number] : ends[number]]
