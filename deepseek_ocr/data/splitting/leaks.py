"""Proof that a split keeps apart what it must: asked of every split before anything is written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .columns import Links, SampleColumns
from .joining import changes
from .near_duplicates import DuplicateSets


def find_leaks(
    columns: SampleColumns, duplicates: Sequence[DuplicateSets], sides: NDArray[np.integer]
) -> list[str]:
    """What lies on more than one side, though it must not; one line for each sort of thing.

    `sides[place]` is any number that stands for the side of the sample at `place`. Things are
    compared pair by pair, without the union-find that the sides were found with.
    """
    found = [
        _leak("document", sides, *_arrays(columns.documents)),
        _leak("file", sides, *_arrays(columns.files)),
        *(_leak(sets.rule, sides, sets.places, sets.keys) for sets in duplicates),
    ]
    return [leak for leak in found if leak]


def _arrays(links: Links) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    return np.asarray(links.places), np.asarray(links.hashes)


def _leak(
    what: str,
    sides: NDArray[np.integer],
    places: NDArray[np.integer],
    keys: NDArray[np.integer],
) -> str:
    order = np.argsort(keys, kind="stable")
    keys, places = keys[order], places[order]
    leaks = np.flatnonzero(~changes(keys)[1:] & (np.diff(sides[places]) != 0))
    if not len(leaks):
        return ""
    one, other = places[leaks[0]], places[leaks[0] + 1]
    return f"{what}: {len(leaks)} times, such as samples number {one + 1} and {other + 1}"
