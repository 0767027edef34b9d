from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.data.splitting import look_alikes as module
from deepseek_ocr.data.splitting.look_alikes import look_alikes


def by_all_pairs(hashes: list[int], texts: list[int]) -> list[int]:
    """For each the first that a chain of look-alikes leads to."""
    first = list(range(len(hashes)))
    for i, j in itertools.combinations(range(len(hashes)), 2):
        alike = texts[i] == texts[j] and (hashes[i] ^ hashes[j]).bit_count() <= 4
        if alike and first[i] != first[j]:
            low, high = sorted((first[i], first[j]))
            first = [low if f == high else f for f in first]
    return first


def found(hashes, texts) -> np.ndarray:
    return look_alikes(np.array(hashes, dtype=np.uint64), np.array(texts, dtype=np.uint64))


def check(hashes: list[int], texts: list[int]) -> None:
    labels, expected = found(hashes, texts), by_all_pairs(hashes, texts)
    first_of: dict[int, int] = {}
    for label, part in zip(labels.tolist(), expected, strict=True):
        assert first_of.setdefault(label, part) == part
    assert len(first_of) == len(set(expected))


near = st.builds(
    lambda base, bits: base ^ sum(1 << bit for bit in bits),
    st.sampled_from([0, 2**64 - 1, 0x0123456789ABCDEF]),
    st.sets(st.integers(0, 63), max_size=7),
)


@given(st.lists(st.tuples(near, st.sampled_from([1, 2, 2**64 - 1])), max_size=40))
def test_sets_are_those_that_comparing_all_pairs_gives(pairs):
    check([pair[0] for pair in pairs], [pair[1] for pair in pairs])


@pytest.mark.parametrize("num_bits", [3, 9, 12, 20, 30, 64])
def test_long_runs_are_compared_by_their_other_bits(num_bits, monkeypatch):
    """Hashes that agree in most bits, so that bands tell them apart only after several rounds."""
    monkeypatch.setattr(module, "LONG_RUN", 4)
    rng = np.random.default_rng(num_bits)
    places = rng.permutation(64)[:num_bits]
    bits = rng.integers(0, 2, (300, num_bits))
    hashes = [sum(1 << int(p) for p, on in zip(places, row, strict=True) if on) for row in bits]
    check(hashes, rng.integers(0, 3, 300).tolist())


@pytest.mark.parametrize("distance, alike", [(0, True), (4, True), (5, False)])
def test_alike_is_up_to_four_bits(distance, alike):
    rng = np.random.default_rng(distance)
    for _ in range(200):
        one = int(rng.integers(0, 2**64, dtype=np.uint64))
        other = one ^ sum(1 << int(bit) for bit in rng.permutation(64)[:distance])
        labels = found([one, other], [7, 7])
        assert (labels[0] == labels[1]) == alike
        assert len(set(found([one, other], [7, 8]))) == 2


def test_many_pictures_of_one_text_take_no_time_and_are_all_found():
    """A hundred thousand hashes, one in ten with a copy four bits away."""
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, 100_000, dtype=np.uint64)
    copies = hashes[::10].copy()
    for _ in range(4):
        copies ^= np.uint64(1) << rng.integers(0, 64, len(copies)).astype(np.uint64)
    labels = look_alikes(np.concatenate([hashes, copies]), np.zeros(110_000, dtype=np.uint64))
    assert (labels[100_000:] == labels[:100_000:10]).all()
    assert len(np.unique(labels)) == 100_000


def test_no_pictures_have_no_sets():
    assert len(found([], [])) == 0
