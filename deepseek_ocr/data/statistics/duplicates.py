"""Rows that show or say what others do: no fault of theirs, but worth knowing before a split."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..annotations import Annotation
from ..checking.spool import Spool
from ..problems import printable
from ..splitting.columns import SampleColumns
from ..splitting.joining import changes
from ..splitting.near_duplicates import DuplicateSets, find_near_duplicates


@dataclasses.dataclass(frozen=True, kw_only=True)
class Duplicates:
    """`of_one_picture`: rows that show the same bytes as another row; `near`: further rows whose
    pictures or long texts are alike, as a split finds them; `contradictions`: pictures to which the
    same question has several answers, the `first` of them as lines for people.
    """

    of_one_picture: int
    near: int
    contradictions: int
    first: tuple[str, ...]


def find_duplicates(
    columns: SampleColumns, samples: Spool[Annotation], num_shown: int = 20
) -> Duplicates:
    """What the usable rows of a dataset have in common; `samples` are those of `columns`."""
    same, *others = find_near_duplicates(columns)
    of_one_picture = _in_company(same)
    near = np.unique(np.concatenate([_in_company(sets) for sets in others]))
    count, first = 0, []
    for told in _contradictions(same, columns, samples):
        count += 1
        if count <= num_shown:
            first.append(told)
    return Duplicates(
        of_one_picture=len(of_one_picture),
        near=len(np.setdiff1d(near, of_one_picture)),
        contradictions=count,
        first=tuple(first),
    )


def _in_company(sets: DuplicateSets) -> NDArray[np.integer]:
    """The sorted places of samples that share a set with another sample."""
    order = np.lexsort((sets.places, sets.keys))
    keys, places = sets.keys[order], sets.places[order]
    is_new = changes(keys) | changes(places)  # of a picture that a row shows twice, once
    keys, places = keys[is_new], places[is_new]
    first = changes(keys)
    last = np.append(first[1:], True)
    return np.unique(places[~(first & last[: len(first)])])


def _contradictions(
    same: DuplicateSets, columns: SampleColumns, samples: Spool[Annotation]
) -> Iterator[str]:
    """A line for each picture and question with several answers; of rows with one picture only."""
    places, counts = np.unique(same.places, return_counts=True)
    alone = np.isin(same.places, places[counts == 1])
    keys, members = same.keys[alone], same.places[alone]
    texts = np.asarray(columns.text_hashes)[members]
    order = np.lexsort((members, keys))
    keys, members, texts = keys[order], members[order], texts[order]
    starts = np.flatnonzero(changes(keys))
    for start, end in zip(starts, np.append(starts, len(keys))[1:], strict=True):
        if (texts[start:end] == texts[start]).all():
            continue
        answers: dict[str, dict[int, Annotation]] = {}  # question -> text -> its first row
        for place, text in zip(members[start:end], texts[start:end], strict=True):
            row = samples[int(place)]
            answers.setdefault(row.prompt, {}).setdefault(int(text), row)
        for rows in answers.values():
            if len(rows) > 1:
                yield ", ".join(printable(f"{r.source} ({r.images[0]})") for r in rows.values())
