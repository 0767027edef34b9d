"""The cheapest way to change one ordered, labelled tree into another (Zhang and Shasha, 1989).

Trees of fields are flat: under ten deep, with many leaves. For these the plain algorithm, whose
work grows with the depths, is some ten times faster in Python than APTED, which it equals (a test
holds it). Costs are any whole numbers; `markdown.tree_distance` is for tables, where each insertion
costs 1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Label = TypeVar("Label")


@dataclasses.dataclass(frozen=True, slots=True)
class Node(Generic[Label]):
    """A node and its children from left to right."""

    label: Label
    children: Sequence[Node[Label]] = ()


def tree_edit_distance(
    first: Node[Label],
    second: Node[Label],
    *,
    cost: Callable[[Label], int],
    renaming: Callable[[Label, Label], int],
) -> int:
    """Least sum of costs of nodes deleted, inserted (`cost` of each) and renamed.

    Deleting a node hands its children to its parent. Takes time in proportion to the product of the
    numbers of nodes, times the product of the depths.
    """
    one, two = _Postorder.of(first), _Postorder.of(second)
    distances = [[0] * len(two.labels) for _ in one.labels]  # between the subtrees of two nodes
    deleting, inserting = [cost(n) for n in one.labels], [cost(n) for n in two.labels]
    renamings = [[renaming(a, b) for b in two.labels] for a in one.labels]
    for root in one.key_roots():
        for other in two.key_roots():
            _fill(one, two, root, other, distances, deleting, inserting, renamings)
    return distances[-1][-1]


@dataclasses.dataclass(frozen=True, slots=True)
class _Postorder(Generic[Label]):
    """A tree as lists, children before their parent; `first_leaf` by node: its leftmost leaf."""

    labels: list[Label]
    first_leaf: list[int]

    @classmethod
    def of(cls, root: Node[Label]) -> _Postorder[Label]:
        tree = cls([], [])
        tree._append(root)
        return tree

    def _append(self, node: Node[Label]) -> int:
        leaves = [self._append(child) for child in node.children]
        first = leaves[0] if leaves else len(self.labels)
        self.labels.append(node.label)
        self.first_leaf.append(first)
        return first

    def key_roots(self) -> list[int]:
        """Ascending: of all nodes with the same leftmost leaf the highest, the last in order."""
        return sorted({leaf: node for node, leaf in enumerate(self.first_leaf)}.values())


def _fill(
    one: _Postorder,
    two: _Postorder,
    root: int,
    other: int,
    distances: list[list[int]],
    deleting: list[int],
    inserting: list[int],
    renamings: list[list[int]],
) -> None:
    """Enters the distances of all subtrees on the left edge of `root` and of `other`.

    `forest[i][j]` is the distance between the first i nodes below `root` and the first j below
    `other`, in post-order.
    """
    left, other_left = one.first_leaf[root], two.first_leaf[other]
    columns = range(other_left, other + 1)
    row = [0]
    for column in columns:
        row.append(row[-1] + inserting[column])
    forest = [row]
    for node in range(left, root + 1):
        above, kept, delete = forest[-1], distances[node], deleting[node]
        row = [above[0] + delete]
        leaf = one.first_leaf[node]
        on_edge, before = leaf == left, forest[leaf - left]
        for place, column in enumerate(columns, 1):
            best = min(above[place] + delete, row[-1] + inserting[column])
            other_leaf = two.first_leaf[column]
            if on_edge and other_leaf == other_left:
                best = min(best, above[place - 1] + renamings[node][column])
                kept[column] = best
            else:
                best = min(best, before[other_leaf - other_left] + kept[column])
            row.append(best)
        forest.append(row)
