"""Near-duplicates that join most of a dataset to one document, which no split can part."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from ..problems import printable
from .columns import SampleColumns
from .joined_documents import places_of_documents
from .near_duplicates import AnnotationAt, DuplicateSets

FEW_DOCUMENTS = 10  # of fewer, two that are joined may well be half of all
SHOWN_CHARACTERS = 60

_WORDS = {  # rule -> why samples hang together, and what to do
    "same picture": (
        "they show the same picture",
        "Give each picture once, or take out what is no page (blank, or a stand-in)",
    ),
    "alike pictures": (
        "their pictures look alike and their texts are the same",
        "Take out the copies, or keep only equal bytes together with --near_duplicates bytes",
    ),
    "same text": (
        "their texts are the same",
        "Mend the texts, or let texts alone join nothing with --near_duplicates pictures",
    ),
}


def check_not_overjoined(
    columns: SampleColumns,
    duplicates: Sequence[DuplicateSets],
    annotation_at: AnnotationAt,
    data_root: Path,
) -> None:
    """Check that near-duplicates leave something to split.

    Raises:
        UserError: over half of the samples hang together by near-duplicates, though they are of
            ten documents or more, none of which is as large by itself.
    """
    joined = places_of_documents(columns)
    documents = joined.labels()
    num_documents = int(documents.max(initial=-1)) + 1
    if num_documents < FEW_DOCUMENTS:
        return
    for sets in duplicates:
        joined.join_equal(sets.places, sets.keys)
        labels = joined.labels()
        largest = labels == np.bincount(labels).argmax()
        by_itself = np.bincount(documents[largest]).max()
        if 2 * by_itself <= len(columns) < 2 * largest.sum():
            why, advice = _WORDS[sets.rule]
            joined_documents = len(np.unique(documents[largest]))
            if joined_documents < largest.sum():
                advice += ", or make documents smaller with --group_by"
            raise UserError(
                f"{data_root}: {largest.sum()} of {len(columns)} samples, of {joined_documents} "
                f"documents, cannot be parted, as {why}; the commonest is "
                f"{_commonest(sets, largest, annotation_at)}.\n{advice}"
            )


def _commonest(sets: DuplicateSets, chosen: NDArray[np.bool_], annotation_at: AnnotationAt) -> str:
    """The largest of the sets among the chosen samples, in words."""
    members = np.flatnonzero(chosen[sets.places])
    keys, counts = np.unique(sets.keys[members], return_counts=True)
    first = members[np.argmax(sets.keys[members] == keys[counts.argmax()])]
    if sets.pictures is None:
        text = printable(" ".join(annotation_at(int(sets.places[first])).text.split()))
        shown = f'"{text[:SHOWN_CHARACTERS]}..."'
    else:
        shown = printable(sets.name(int(first), annotation_at)[0])
    return f"{shown}, {counts.max()} times"
