"""Tree edit distance: known trees, and APTED as the oracle on random ones."""

from __future__ import annotations

import pytest
from apted import APTED, Config
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.metrics.tree_edit import Node, tree_edit_distance

TREES = st.recursive(
    st.builds(Node, st.integers(1, 4)),
    lambda inner: st.builds(Node, st.integers(1, 4), st.lists(inner, max_size=4).map(tuple)),
    max_leaves=14,
)


def renaming(one: int, other: int) -> int:
    return abs(one - other)


class Costs(Config):
    """The same costs for APTED: a label is what its node costs."""

    def children(self, node):
        return node.children

    def delete(self, node):
        return node.label

    insert = delete

    def rename(self, node1, node2):
        return renaming(node1.label, node2.label)


def distance(first: Node[int], second: Node[int]) -> int:
    return tree_edit_distance(first, second, cost=int, renaming=renaming)


def node(label, *children):
    return Node(label, children)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (node(1), node(1), 0),
        (node(1), node(3), 2),
        (node(1, node(2)), node(1), 2),
        (node(1, node(2, node(3), node(4))), node(1, node(3), node(4)), 2),
        (node(1, node(3), node(4)), node(1, node(4), node(3)), 2),
    ],
)
def test_known_trees(first, second, expected):
    assert distance(first, second) == distance(second, first) == expected


@given(TREES, TREES)
def test_distances_equal_apteds(first, second):
    assert distance(first, second) == APTED(first, second, Costs()).compute_edit_distance()
