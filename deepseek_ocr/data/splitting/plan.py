"""Which documents are for learning and which for judging: seeded, whole documents only.

Documents that share a sample, a picture or a near-duplicate are joined to one, which is called by
the first of their names in sorted order. Three ways to give it a side:

* `--split random` (default): documents stand in the order of a hash of seed and name, and each side
  takes the first ones of every stratum, so many that the shares are right.
* `--split hash`: the same hash, as a number from 0 to 1, says the side by itself: below the test
  share testing, from 1 less the validation share on validation, else training. What other documents
  there are does not matter, until one that was added is joined to old ones (a copy of them, say):
  then it may move them, as they all go where the first name goes.
* `--keep_sides MANIFEST`: documents named there stay on their side, before either of the two. A
  joined document with names on several sides goes to testing, else to validation, and is told.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .columns import SampleColumns
from .config import SIDES, Side, SplitConfig
from .joined_documents import JoinedDocuments, join_documents, places_of_documents
from .kept_sides import KeptSides, read_kept_sides
from .large_documents import uneven_shares
from .leaks import find_leaks
from .near_duplicates import AnnotationAt, DuplicateSets, find_near_duplicates, listed
from .overjoining import check_not_overjoined
from .sides import assign_sides


@dataclasses.dataclass(frozen=True)
class Moved:
    """A joined document whose names stood on several sides of the split that is kept."""

    document: str
    sides: tuple[Side, ...]
    side: Side

    def to_json(self) -> dict[str, Any]:
        """What the manifest says of it."""
        return {"document": self.document, "from": list(self.sides), "to": self.side}


class SplitPlan:
    """Which side each sample and each document goes to.

    `sides` are those that get a file, `moved` documents that could not stay where they were;
    `num_joined` counts those that near-duplicates joined to another.
    """

    def __init__(
        self,
        *,
        columns: SampleColumns,
        documents: JoinedDocuments,
        duplicates: Sequence[DuplicateSets],
        side_of: NDArray[np.int8],
        moved: Sequence[tuple[int, tuple[Side, ...]]],
        sides: Sequence[Side],
        uneven: str | None,
        annotation_at: AnnotationAt,
    ):
        self.sides, self.uneven = tuple(sides), uneven
        apart = places_of_documents(columns).labels()
        self.num_joined = int(apart.max(initial=-1)) + 1 - len(documents)
        self._columns, self._documents, self._duplicates = columns, documents, duplicates
        self._side_of, self._annotation_at = side_of, annotation_at
        self._last: tuple[int, str] | None = None  # document and its name
        self.moved = tuple(
            Moved(self._name(document), stood, self._side(document)) for document, stood in moved
        )

    def side(self, place: int) -> Side:
        """The side of a sample."""
        return self._side(int(self._documents.of_place[place]))

    def group(self, place: int) -> str:
        """The name of the document that a sample belongs to, as joined."""
        document = int(self._documents.of_place[place])
        if self._last is None or self._last[0] != document:  # pages lie side by side
            self._last = document, self._name(document)
        return self._last[1]

    def num_samples(self, side: Side) -> int:
        """How many samples a side has."""
        return int((self._side_of[self._documents.of_place] == SIDES.index(side)).sum())

    def num_documents(self, side: Side) -> int:
        """How many documents a side has, joined ones counted once."""
        return int((self._side_of == SIDES.index(side)).sum())

    def documents(self, side: Side) -> list[str]:
        """The names of a side's documents, sorted."""
        numbers = np.flatnonzero(self._side_of == SIDES.index(side))
        return sorted(self._name(int(document)) for document in numbers)

    def joined(self) -> Iterator[tuple[str, list[str]]]:
        """The documents that were joined of several: the name, and the others sorted."""
        for _, places in self._documents.several():
            first, *others = sorted(self._columns.names[int(place)] for place in places)
            yield first, others

    def near_duplicates(self) -> Iterator[dict[str, Any]]:
        """What the manifest says of near-duplicates: `rule` and `references` of each set."""
        return listed(self._duplicates, self._annotation_at)

    def _side(self, document: int) -> Side:
        return SIDES[self._side_of[document]]

    def _name(self, document: int) -> str:
        return self._columns.names[int(self._documents.first_names[document])]


def plan_split(
    columns: SampleColumns,
    config: SplitConfig,
    annotation_at: AnnotationAt,
    kept: KeptSides | None = None,
) -> SplitPlan:
    """The samples of a dataset -> their sides.

    `annotation_at` looks a sample up by its place, for messages and the names of pictures; `kept`
    is `read_kept_sides(config)`, where it was read before. The order of the samples never matters.

    Raises:
        UserError: too few documents for the sides that are asked for, near-duplicates that join
            most of the dataset, a key that no sample has.
    """
    kept = kept or read_kept_sides(config)
    duplicates = find_near_duplicates(columns, config.near_duplicates)
    check_not_overjoined(columns, duplicates, annotation_at, config.data_root)
    documents = join_documents(columns, duplicates)
    side_of = assign_sides(columns, documents, config, kept, annotation_at)
    leaks = find_leaks(columns, duplicates, side_of[documents.of_place])
    if leaks:
        raise RuntimeError(f"the split would leak and is not written ({'; '.join(leaks)})")
    return SplitPlan(
        columns=columns,
        documents=documents,
        duplicates=duplicates,
        side_of=side_of,
        moved=kept.conflicts(documents) if kept else (),
        sides=[s for s in SIDES if s in asked_sides(config) or SIDES.index(s) in side_of],
        uneven=uneven_shares(columns, documents, side_of, config, annotation_at),
        annotation_at=annotation_at,
    )


def asked_sides(config: SplitConfig) -> tuple[Side, ...]:
    """The sides that get a file; `val` only when asked for."""
    return ("train", "val", "test") if config.val_size else ("train", "test")
