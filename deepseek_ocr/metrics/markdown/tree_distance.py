"""The edit distance of two ordered, labelled trees: the fewest insertions, deletions, renamings.

Zhang and Shasha, "Simple fast algorithms for the editing distance between trees and related
problems" (1989), for insertions and deletions of cost 1 and renamings of cost 0 to 1. That of
insertions being 1, a row of their table is one pass of `minimum.accumulate`; leaves, nearly all of
a table's nodes, have a closed form; and rows of equally many cells are compared all at once. Equal
to apted's distance (a test holds it), and many times faster on tables.

Nodes are numbered in postorder: children from left to right, then their parent. A node's `leaf` is
the number of its leftmost leaf, which is its own if it has no children.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

AT_ONCE = 50_000
"""Pairs of rows compared in one array."""


def tree_distance(
    first_leaves: Sequence[int], second_leaves: Sequence[int], renaming: NDArray[np.float64]
) -> float:
    """The distance of two trees, given each node's leftmost leaf.

    `renaming` (nodes of the first, nodes of the second) is what it costs to make one node of the
    other, 0 to 1.
    """
    first, second = np.asarray(first_leaves), np.asarray(second_leaves)
    distance = np.zeros(renaming.shape)
    _set_leaves(distance, first, second, renaming)
    _set_leaves(distance.T, second, first, renaming.T)
    small, large = _inner_roots(first)
    other_small, other_large = _inner_roots(second)
    _set_flat(distance, first, second, renaming, small, other_small)
    # Small subtrees before those that hold them, in both trees.
    for end in sorted(small + large):
        for other_end in sorted(other_small + other_large if end in large else other_large):
            _set_subtrees(distance, first, second, renaming, end, other_end)
    return float(distance[-1, -1])


def _inner_roots(leaves: NDArray) -> tuple[list[int], list[int]]:
    """The last node of every leftmost path longer than one node.

    First those whose children are all leaves, then the others.
    """
    last = {int(leaf): node for node, leaf in enumerate(leaves)}
    flat: list[int] = []
    deep: list[int] = []
    for leaf, node in last.items():
        if node != leaf:
            is_flat = (leaves[leaf:node] == np.arange(leaf, node)).all()
            (flat if is_flat else deep).append(node)
    return flat, deep


def _set_leaves(distance: NDArray, first: NDArray, second: NDArray, renaming: NDArray) -> None:
    """Distances of the first tree's leaves to all subtrees of the second.

    One node becomes the cheapest node of the subtree, and the others are inserted.
    """
    leaves = np.flatnonzero(first == np.arange(len(first)))
    of_leaves = renaming[leaves]
    for node, leaf in enumerate(second):
        distance[leaves, node] = of_leaves[:, leaf : node + 1].min(axis=1) + (node - leaf)


def _set_flat(
    distance: NDArray,
    first: NDArray,
    second: NDArray,
    renaming: NDArray,
    nodes: list[int],
    others: list[int],
) -> None:
    """Distances of all pairs of nodes whose children are leaves, by their numbers of children."""
    of_sizes, other_sizes = _by_size(first, nodes), _by_size(second, others)
    for size, group in of_sizes.items():
        for other_size, other_group in other_sizes.items():
            step = max(1, AT_ONCE // len(other_group))
            for start in range(0, len(group), step):
                _set_flat_group(
                    distance, renaming, group[start : start + step], other_group, size, other_size
                )


def _by_size(leaves: NDArray, nodes: list[int]) -> dict[int, NDArray]:
    groups = defaultdict(list)
    for node in nodes:
        groups[node - int(leaves[node])].append(node)
    return {size: np.array(group) for size, group in groups.items()}


def _set_flat_group(
    distance: NDArray, renaming: NDArray, nodes: NDArray, others: NDArray, size: int, other: int
) -> None:
    """Distances of all pairs of `nodes`, of `size` leaves each, and `others`, of `other` leaves.

    The edit distance of their leaves as words, in which the node itself comes after its leaves.
    """
    rows, columns = (nodes - size)[:, None], (others - other)[None, :]
    shape = (len(nodes), len(others))
    above = [np.full(shape, float(j)) for j in range(other + 2)]
    for i in range(size + 1):
        row = [np.full(shape, i + 1.0)]
        for j in range(other + 1):
            best = np.minimum(above[j + 1], row[j]) + 1
            if (i == size) == (j == other):  # two leaves, or the two nodes
                best = np.minimum(best, above[j] + renaming[rows + i, columns + j])
            else:  # a leaf and the whole other subtree
                best = np.minimum(best, distance[rows + i, columns + j] + (j if i == size else i))
            row.append(best)
        above = row
    distance[np.ix_(nodes, others)] = above[-1]


def _set_subtrees(
    distance: NDArray, first: NDArray, second: NDArray, renaming: NDArray, end: int, other_end: int
) -> None:
    """Distances of all pairs of subtrees that begin where those of `end` and `other_end` do."""
    if end - first[end] > other_end - second[other_end]:  # the rows of the table are the fewer
        distance, renaming = distance.T, renaming.T
        first, second, end, other_end = second, first, other_end, end
    start, other_start = int(first[end]), int(second[other_end])
    columns = slice(other_start, other_end + 1)
    from_zero = np.arange(other_end - other_start + 2, dtype=np.float64)
    left_of = second[columns] - other_start  # the forest before each subtree, as a column
    on_path = left_of == 0
    forest = np.empty((end - start + 2, len(from_zero)))  # of the first i and the first j nodes
    forest[0] = from_zero
    for i, node in enumerate(range(start, end + 1), 1):
        row, above = forest[i], forest[i - 1]
        whole = forest[int(first[node]) - start][left_of] + distance[node, columns]
        if first[node] == start:  # both forests are trees where the column is on the path, too
            whole = np.where(on_path, above[:-1] + renaming[node, columns], whole)
        row[0] = i
        np.minimum(above[1:] + 1, whole, out=row[1:])
        np.minimum.accumulate(row - from_zero, out=row)
        row += from_zero
        if first[node] == start:
            distance[node, columns][on_path] = row[1:][on_path]
