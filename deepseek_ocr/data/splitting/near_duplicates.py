"""Samples that show or say the same, though no document joins them: they stay on one side.

| rule | the same |
|---|---|
| `same picture` | bytes of a picture |
| `alike pictures` | text, and a perceptual hash that differs in at most 4 of 64 bits |
| `same text` | text, of 200 characters at least |

Texts are compared as `comparable_text` gives them. A shorter text says too little by itself: of
receipts and lines many read `Total`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..annotations import Annotation
from .columns import SampleColumns
from .joining import JoinedPlaces, changes
from .look_alikes import look_alikes

MIN_TEXT_LENGTH = 200  # characters

Kept = Literal["all", "pictures", "bytes"]
AnnotationAt = Callable[[int], Annotation]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DuplicateSets:
    """What one rule found: member i, of the sample at `places[i]`, is in the set `keys[i]`.

    `pictures` are numbers from 0 in the sample, None where the sample as a whole is meant. Sets
    without two members that differ in `contents` are no news: the same picture named again.
    """

    rule: str
    places: NDArray[np.integer]
    keys: NDArray[np.integer]
    contents: NDArray[np.integer]
    pictures: NDArray[np.integer] | None = None

    def news(self) -> Iterator[NDArray[np.intp]]:
        """The members of each set that are worth telling, one for each of its contents."""
        order = np.lexsort((self.contents, self.keys))
        new_key = changes(self.keys[order])
        is_new = new_key | changes(self.contents[order])
        order, new_key = order[is_new], new_key[is_new]
        starts = np.flatnonzero(new_key)
        if not len(starts):
            return
        ends = np.append(starts[1:], len(order))
        several = ends - starts > 1
        first_members = np.minimum.reduceat(order, starts)
        for number in np.argsort(np.where(several, first_members, len(self.keys)))[: several.sum()]:
            yield np.sort(order[starts[number] : ends[number]])

    def name(self, member: int, annotation_at: AnnotationAt) -> list[str]:
        """How a member is called: its reference, those of a whole sample, or its id without any."""
        annotation = annotation_at(int(self.places[member]))
        if self.pictures is not None:
            return [annotation.images[int(self.pictures[member])]]
        return list(annotation.images) or [annotation.id]


def find_near_duplicates(columns: SampleColumns, kept: Kept = "all") -> list[DuplicateSets]:
    """The sets that each rule finds: all rules, those about `pictures`, or about their `bytes`."""
    found = [_same_pictures(columns)]
    if kept in ("all", "pictures"):
        found.append(_alike_pictures(columns))
    if kept == "all":
        found.append(_same_texts(columns, found))
    return found


def listed(found: Sequence[DuplicateSets], annotation_at: AnnotationAt) -> Iterator[dict[str, Any]]:
    """What the manifest says of near-duplicates: `rule` and sorted `references` of each set."""
    for sets in found:
        for members in sets.news():
            names = {name for m in members for name in sets.name(int(m), annotation_at)}
            yield {"rule": sets.rule, "references": sorted(names)}


def _same_pictures(columns: SampleColumns) -> DuplicateSets:
    links = columns.pictures
    places = np.asarray(links.places)
    return DuplicateSets(
        rule="same picture",
        places=places,
        keys=np.asarray(links.hashes),
        contents=np.asarray(links.references),
        pictures=_numbers_in_sample(places),
    )


def _alike_pictures(columns: SampleColumns) -> DuplicateSets:
    links = columns.pictures
    known = np.flatnonzero(np.asarray(links.has_perceptual))
    places = np.asarray(links.places)
    texts = np.asarray(columns.text_hashes)[places[known]]
    return DuplicateSets(
        rule="alike pictures",
        places=places[known],
        keys=look_alikes(np.asarray(links.perceptual)[known], texts),
        contents=np.asarray(links.hashes)[known],
        pictures=_numbers_in_sample(places)[known],
    )


def _same_texts(columns: SampleColumns, by_pictures: Sequence[DuplicateSets]) -> DuplicateSets:
    places = np.flatnonzero(np.asarray(columns.text_lengths) >= MIN_TEXT_LENGTH)
    joined = JoinedPlaces(len(columns))
    for sets in by_pictures:
        joined.join_equal(sets.places, sets.keys)
    return DuplicateSets(
        rule="same text",
        places=places,
        keys=np.asarray(columns.text_hashes)[places],
        contents=joined.find(places),
    )


def _numbers_in_sample(places: NDArray[np.integer]) -> NDArray[np.intp]:
    """Sorted places of pictures -> the number of each in its sample, from 0."""
    return np.arange(len(places)) - np.searchsorted(places, places)
