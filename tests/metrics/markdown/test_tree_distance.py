"""The tree edit distance against its definition, and against apted on trees of a table's shape."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from apted import APTED, Config
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_ocr.metrics.markdown.tree_distance import tree_distance

Tree = tuple[str, tuple]  # label, children

LABELS = "abcd"
COSTS = {
    frozenset("ab"): 0.25,
    frozenset("ac"): 0.5,
    frozenset("ad"): 1.0,
    frozenset("bc"): 0.75,
    frozenset("bd"): 0.125,
    frozenset("cd"): 1.0,
}


def cost(first: str, second: str) -> float:
    return 0.0 if first == second else COSTS[frozenset((first, second))]


def trees(max_leaves: int = 8) -> st.SearchStrategy[Tree]:
    labels = st.sampled_from(LABELS)
    leaf = st.tuples(labels, st.just(()))
    return st.recursive(
        leaf,
        lambda below: st.tuples(labels, st.lists(below, min_size=1, max_size=4).map(tuple)),
        max_leaves=max_leaves,
    )


def table_trees() -> st.SearchStrategy[Tree]:
    leaf = st.tuples(st.sampled_from(LABELS), st.just(()))
    row = st.tuples(st.just("a"), st.lists(leaf, min_size=0, max_size=4).map(tuple))
    return st.tuples(st.just("b"), st.lists(row, min_size=0, max_size=6).map(tuple))


def in_postorder(tree: Tree) -> tuple[list[int], list[str]]:
    leaves: list[int] = []
    labels: list[str] = []

    def add(node: Tree) -> int:
        label, children = node
        below = [add(child) for child in children]
        leaves.append(below[0] if below else len(leaves))
        labels.append(label)
        return leaves[-1]

    add(tree)
    return leaves, labels


def our_distance(first: Tree, second: Tree) -> float:
    (leaves, labels), (other_leaves, other_labels) = in_postorder(first), in_postorder(second)
    renaming = np.array([[cost(a, b) for b in other_labels] for a in labels])
    return tree_distance(leaves, other_leaves, renaming)


def defined_distance(first: Tree, second: Tree) -> float:
    """The recursion over forests, straight from the definition."""

    @functools.cache
    def size(forest: tuple) -> int:
        return sum(1 + size(children) for _, children in forest)

    @functools.cache
    def of_forests(left: tuple, right: tuple) -> float:
        if not left or not right:
            return size(left) + size(right)
        (label, children), (other, other_children) = left[-1], right[-1]
        return min(
            of_forests(left[:-1] + children, right) + 1,
            of_forests(left, right[:-1] + other_children) + 1,
            of_forests(left[:-1], right[:-1])
            + of_forests(children, other_children)
            + cost(label, other),
        )

    return of_forests((first,), (second,))


@settings(max_examples=150, deadline=None)
@given(trees(), trees())
def test_it_is_the_fewest_insertions_deletions_and_renamings(first, second):
    assert our_distance(first, second) == pytest.approx(defined_distance(first, second))


@settings(max_examples=50, deadline=None)
@given(table_trees(), table_trees())
def test_of_tables_it_equals_apted(first, second):
    class Costs(Config):
        def rename(self, node1: Any, node2: Any) -> float:
            return cost(node1[0], node2[0])

        def children(self, node: Any) -> tuple:
            return node[1]

    expected = APTED(first, second, Costs()).compute_edit_distance()
    assert our_distance(first, second) == pytest.approx(expected)


@settings(max_examples=50, deadline=None)
@given(trees(), trees())
def test_it_is_the_same_both_ways_and_nothing_to_itself(first, second):
    assert our_distance(first, second) == pytest.approx(our_distance(second, first))
    assert our_distance(first, first) == 0


def test_a_lone_node_against_a_tree_keeps_the_cheapest_node():
    assert our_distance(("b", ()), ("a", (("c", ()), ("d", ())))) == 2.125
