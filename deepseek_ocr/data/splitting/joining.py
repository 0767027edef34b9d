"""Places joined to disjoint sets, many at a time: union-find on arrays.

A set is called by its smallest place, so the order in which sets were joined shows nowhere.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.integer]


class JoinedPlaces:
    """The places 0 to `num_places` - 1, each a set for itself at first; four bytes a place."""

    def __init__(self, num_places: int):
        self._parents = np.arange(num_places, dtype=np.int32)

    def copy(self) -> JoinedPlaces:
        """The same sets, to be joined further on their own."""
        other = JoinedPlaces(0)
        other._parents = self._parents.copy()
        return other

    def join(self, one: Places, other: Places) -> None:
        """Join the sets of `one[i]` and `other[i]`, for every i."""
        while True:
            one, other = self.find(one), self.find(other)
            apart = one != other
            if not apart.any():
                return
            one, other = one[apart], other[apart]
            # a larger root goes below its smallest partner; the others are for the next round,
            # which has at most half as many roots
            np.minimum.at(self._parents, np.maximum(one, other), np.minimum(one, other))

    def join_equal(self, places: Places, keys: NDArray) -> None:
        """Join all places whose key is the same; `keys[i]` belongs to `places[i]`."""
        order = np.argsort(keys, kind="stable")
        same = ~changes(keys[order])[1:]
        self.join(places[order[:-1][same]], places[order[1:][same]])

    def find(self, places: Places) -> NDArray[np.int32]:
        """The smallest place of the set of each place."""
        while True:
            found = self._parents[places]
            above = self._parents[found]
            if (found == above).all():
                return found
            self._parents[places] = above  # half the way for the next one

    def labels(self) -> NDArray[np.int32]:
        """The number of each place's set, from 0 in the order of their smallest places."""
        roots = self.find(np.arange(len(self._parents), dtype=np.int32))
        is_root = roots == np.arange(len(roots), dtype=np.int32)
        return (np.cumsum(is_root, dtype=np.int32) - 1)[roots]


def changes(values: NDArray) -> NDArray[np.bool_]:
    """Whether each value differs from the one before it; the first one does."""
    found = np.ones(len(values), dtype=bool)
    found[1:] = values[1:] != values[:-1]
    return found
