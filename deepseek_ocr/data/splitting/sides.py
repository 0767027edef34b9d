"""The side of each document: random by shares, by a hash of its name alone, or as it was before.

A side is a number in `SIDES`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from .columns import SampleColumns
from .config import SIDES, SplitConfig
from .grouping import NO_VALUE
from .joined_documents import JoinedDocuments
from .joining import changes
from .kept_sides import NOT_KEPT, KeptSides
from .large_documents import largest_document
from .near_duplicates import AnnotationAt

TRAIN, VAL, TEST = range(len(SIDES))
KEYS_LOOKED_AT = 1000  # samples, to tell which keys there are

_WHOLE = 1 << 64  # what a draw is a part of

Sides = NDArray[np.int8]
Draws = NDArray[np.uint64]


def assign_sides(
    columns: SampleColumns,
    documents: JoinedDocuments,
    config: SplitConfig,
    kept: KeptSides | None,
    annotation_at: AnnotationAt,
) -> Sides:
    """(documents,) the side of each joined document.

    Raises:
        UserError: too few documents for the sides that are asked for, a key that no sample has.
    """
    side_of = kept.last_sides(documents) if kept else np.full(len(documents), NOT_KEPT, np.int8)
    draws = _draws(columns.names, config.seed)[documents.first_names]
    if config.split == "hash":
        by_hash = _hashed_sides(draws[:, 0], config)
        side_of = np.where(side_of == NOT_KEPT, by_hash, side_of)
    else:
        strata = _strata(columns, documents, config, annotation_at)
        numbers = _numbers(columns, documents, config, annotation_at)
        _deal(side_of, draws, strata, numbers, config.seed)
    _check_sides(side_of, config)
    return side_of


def _draws(names: Iterable[str], seed: int) -> Draws:
    """(names, 2): 128 bits of a hash of the seed and each name, the same on every machine."""
    digests = bytearray()
    for name in names:
        digests += _digest(name, seed)[:16]
    return np.frombuffer(bytes(digests), dtype=">u8").reshape(-1, 2).astype(np.uint64)


def _hashed_sides(draws: NDArray[np.uint64], config: SplitConfig) -> Sides:
    """(documents,) draws -> sides; a larger share of one never moves a document to the other."""
    side_of = np.full(len(draws), TRAIN, dtype=np.int8)
    if config.val_size:
        side_of[draws >= np.uint64(_WHOLE - int(config.val_size * _WHOLE))] = VAL
    side_of[draws < np.uint64(int(config.test_size * _WHOLE))] = TEST
    return side_of


def _deal(
    side_of: Sides,
    draws: Draws,
    strata: _Strata,
    numbers: tuple[int, int],
    seed: int,
) -> None:
    """Give the documents that have none yet a side, so that the shares of all are right.

    `draws`, (documents, 2), say which come first in each stratum; `numbers` are those for testing
    and for validation.
    """
    num_test, num_val = numbers
    free = np.flatnonzero(side_of == NOT_KEPT)
    codes = strata.codes[free]
    order = free[np.lexsort((draws[free, 1], draws[free, 0], codes))]
    present, starts = np.unique(strata.codes[order], return_index=True)
    parts = np.split(order, starts[1:])
    queues = {strata.values[code]: part for code, part in zip(present, parts, strict=False)}
    side_of[free] = TRAIN
    for side, number in ((TEST, num_test), (VAL, num_val)):
        missing = max(0, number - int((side_of == side).sum()))
        sizes = {value: len(queue) for value, queue in queues.items()}
        for value, count in _shares(missing, sizes, seed).items():
            side_of[queues[value][:count]] = side
            queues[value] = queues[value][count:]


def _numbers(
    columns: SampleColumns,
    documents: JoinedDocuments,
    config: SplitConfig,
    annotation_at: AnnotationAt,
) -> tuple[int, int]:
    """How many documents are for testing and for validation; at least one of each side asked."""
    num_documents = len(documents)
    num_test, num_val = (
        int(size) if size >= 1 else max(1, math.floor(size * num_documents + 0.5)) if size else 0
        for size in (config.test_size, config.val_size)
    )
    if num_test + num_val >= num_documents:
        wanted = f"{num_test} for testing" + (f", {num_val} for validation" if num_val else "")
        advice = ["add documents"]
        if num_documents > 1:
            advice.append("make --test_size and --val_size smaller")
        why = ""
        if len(columns) > num_documents:
            told = largest_document(columns, documents, config.group_by, annotation_at)
            why = f"\n{told}"
            if config.group_by != "none":
                advice.append("split pages apart with --group_by none or a REGEX of the path")
        raise UserError(
            f"{config.data_root}: {num_documents} document{'' if num_documents == 1 else 's'} "
            f"cannot be split into {wanted} and at least one for training{why}; "
            f"{', or '.join(advice)}"
        )
    return num_test, num_val


def _shares(number: int, sizes: Mapping[str, int], seed: int) -> dict[str, int]:
    """`number`, or all there are, dealt out in proportion to `sizes`.

    The largest remainders are rounded up.
    """
    total = sum(sizes.values())
    number = min(number, total)
    exact = {value: number * size / total for value, size in sizes.items() if size}
    counts = {value: math.floor(share) for value, share in exact.items()}
    by_remainder = sorted(exact, key=lambda v: (counts[v] - exact[v], _digest(v, seed)))
    for value in by_remainder[: number - sum(counts.values())]:
        counts[value] += 1
    return counts


def _digest(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\0{name}".encode("utf-8", "surrogatepass")).digest()


def _check_sides(side_of: Sides, config: SplitConfig) -> None:
    """Check that no side that is asked for is empty.

    Raises:
        UserError: one is, by chance or because the sides of an earlier split are kept.
    """
    sizes = {"train": 1.0, "val": config.val_size, "test": config.test_size}
    for number, side in enumerate(SIDES):
        if sizes[side] and not (side_of == number).any():
            advice = "add documents, take another --seed, or deal them out with --split random"
            if config.keep_sides:
                advice = "add documents, or split without --keep_sides"
            raise UserError(
                f"{config.data_root}: none of {len(side_of)} documents falls to the side {side}; "
                f"{advice}"
            )


@dataclasses.dataclass(frozen=True)
class _Strata:
    """The stratum of each joined document, as a number in sorted `values`."""

    codes: NDArray[np.integer]
    values: Sequence[str]


def _strata(
    columns: SampleColumns,
    documents: JoinedDocuments,
    config: SplitConfig,
    annotation_at: AnnotationAt,
) -> _Strata:
    """The commonest value among the samples of each document, the first of equally common ones."""
    values = sorted(columns.stratum_values)
    if values == [NO_VALUE] and config.stratify_by is not None:
        shown = (annotation_at(place) for place in range(min(len(columns), KEYS_LOOKED_AT)))
        known = sorted({key for annotation in shown for key in annotation.attributes} | {"lang"})
        raise UserError(
            f"--stratify_by: no sample has the key {config.stratify_by!r}; known: "
            f"{', '.join(known)}"
        )
    ranks = {value: rank for rank, value in enumerate(values)}
    rank_of_code = np.array([ranks[value] for value in columns.stratum_values], dtype=np.int64)
    pairs = documents.of_place * np.int64(len(values)) + rank_of_code[np.asarray(columns.strata)]
    pairs, counts = np.unique(pairs, return_counts=True)
    members, codes = np.divmod(pairs, len(values))
    order = np.lexsort((codes, -counts, members))
    return _Strata(codes[order][changes(members[order])], values)
