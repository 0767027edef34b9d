from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.data.splitting.joining import JoinedPlaces, changes

NUM_PLACES = 30

pairs = st.lists(st.tuples(*[st.integers(0, NUM_PLACES - 1)] * 2), max_size=60)


def parts(joins: list[tuple[int, int]]) -> list[set[int]]:
    """The joined sets, each found by joining one pair after another."""
    found = [{place} for place in range(NUM_PLACES)]
    for one, other in joins:
        touched = [part for part in found if one in part or other in part]
        found = [part for part in found if part not in touched] + [set().union(*touched)]
    return sorted(found, key=min)


@given(st.lists(pairs, max_size=4))
def test_joined_places_are_the_connected_parts(batches):
    joined = JoinedPlaces(NUM_PLACES)
    for batch in batches:
        ends = np.array(batch, dtype=np.int32).reshape(-1, 2)
        joined.join(ends[:, 0], ends[:, 1])
    expected = parts([pair for batch in batches for pair in batch])
    labels = joined.labels()
    assert [set(np.flatnonzero(labels == number)) for number in range(len(expected))] == expected
    found = joined.find(np.arange(NUM_PLACES))
    assert all(found[place] == min(part) for part in expected for place in part)


@given(st.lists(st.integers(0, 5), min_size=NUM_PLACES, max_size=NUM_PLACES))
def test_places_of_equal_keys_are_joined(keys):
    joined = JoinedPlaces(NUM_PLACES)
    joined.join_equal(np.arange(NUM_PLACES), np.array(keys))
    labels = joined.labels()
    assert all(
        (labels[i] == labels[j]) == (keys[i] == keys[j])
        for i in range(NUM_PLACES)
        for j in range(i)
    )


def test_long_chains_are_joined_in_few_steps():
    count = 100_000
    joined = JoinedPlaces(count)
    order = np.random.default_rng(0).permutation(count)
    joined.join(order[1:], order[:-1])
    assert not joined.labels().any()


def test_nothing_is_joined_of_nothing():
    joined = JoinedPlaces(0)
    nothing = np.array([], dtype=np.int32)
    joined.join_equal(nothing, nothing)
    assert len(joined.labels()) == 0 and len(changes(nothing)) == 0
