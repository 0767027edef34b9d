"""Pairs of 64-bit perceptual hashes that differ in few bits, found without comparing all pairs.

Hashes that differ in at most 4 bits agree in at least two of any six bands of their bits. So for
each of the fifteen pairs of bands only hashes that agree in both are compared: of random ones, one
in two million. Many that agree nevertheless have their other bits looked at in the same way.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .joining import JoinedPlaces, changes

MAX_DISTANCE = 4  # of 64 bits
LONG_RUN = 128  # hashes; all pairs of fewer are compared

_NUM_BANDS = MAX_DISTANCE + 2

Nodes = NDArray[np.int32]
Flags = NDArray[np.bool_]


def look_alikes(hashes: NDArray[np.uint64], texts: NDArray[np.uint64]) -> NDArray[np.int32]:
    """(n,) perceptual hashes, (n,) hashes of their texts -> (n,) numbers of sets of look-alikes.

    Two are in one set if their text is the same and their hashes differ in at most `MAX_DISTANCE`
    bits, or if a chain of such steps leads from one to the other.
    """
    order = np.lexsort((hashes, texts)).astype(np.int32)
    hashes, texts = hashes[order], texts[order]
    new_text = changes(texts)
    is_new = new_text | changes(hashes)
    node_of = np.cumsum(is_new, dtype=np.int32) - 1  # equal ones are one node
    search = _Search(hashes[is_new], np.cumsum(new_text, dtype=np.int32)[is_new])
    search.run(new_text[is_new])
    labels = np.empty(len(order), dtype=np.int32)
    labels[order] = search.joined.labels()[node_of]
    return labels


class _Search:
    """Nodes, sorted by the number of their text; in `joined`, those that are alike."""

    def __init__(self, hashes: NDArray[np.uint64], texts: NDArray[np.int32]):
        self.hashes, self.texts = hashes, texts
        self.joined = JoinedPlaces(len(hashes))

    def run(self, new_text: Flags) -> None:
        """Join all nodes that are alike; `new_text` marks the first node of each text."""
        nodes = np.arange(len(self.hashes), dtype=np.int32)
        long_runs = self._compare_runs(nodes, new_text)
        if long_runs:
            self._search_bands(np.concatenate(long_runs))

    def _search_bands(self, nodes: Nodes) -> None:
        for mask in _masks(_varying_bits(self.hashes[nodes])):
            keys, texts = self.hashes[nodes] & mask, self.texts[nodes]
            order = np.lexsort((keys, texts))
            nodes = nodes[order]
            for run in self._compare_runs(nodes, changes(keys[order]) | changes(texts[order])):
                found = self.joined.find(run)
                if (found != found[0]).any():  # else they need no comparing any more
                    self._search_bands(run)

    def _compare_runs(self, nodes: Nodes, is_new: Flags) -> list[Nodes]:
        """Compare all nodes of a run with each other; the runs that are too long for it.

        A run begins where `is_new`.
        """
        starts = np.flatnonzero(is_new)
        lengths = np.diff(starts, append=len(nodes))
        is_long = lengths > LONG_RUN
        ends = np.repeat(np.where(is_long, 0, starts + lengths), lengths)
        self._compare(nodes, ends - np.arange(1, len(nodes) + 1))
        long_runs = zip(starts[is_long], lengths[is_long], strict=True)
        return [nodes[start : start + length] for start, length in long_runs]

    def _compare(self, nodes: Nodes, num_later: NDArray[np.intp]) -> None:
        """Compare each node with the `num_later[i]` ones that follow it."""
        places = np.flatnonzero(num_later > 0)
        for step in range(1, LONG_RUN):
            places = places[num_later[places] >= step]
            if not len(places):
                return
            one, other = nodes[places], nodes[places + step]
            alike = np.bitwise_count(self.hashes[one] ^ self.hashes[other]) <= MAX_DISTANCE
            self.joined.join(one[alike], other[alike])


def _varying_bits(hashes: NDArray[np.uint64]) -> list[int]:
    """The bits in which not all hashes agree."""
    varying = int(np.bitwise_or.reduce(hashes ^ hashes[0]))
    return [bit for bit in range(64) if varying >> bit & 1]


def _masks(bits: list[int]) -> Iterator[np.uint64]:
    """The bits of every two of six bands, into which `bits` are dealt."""
    bands = [sum(1 << bit for bit in bits[start::_NUM_BANDS]) for start in range(_NUM_BANDS)]
    for one, other in itertools.combinations(bands, 2):
        yield np.uint64(one | other)
