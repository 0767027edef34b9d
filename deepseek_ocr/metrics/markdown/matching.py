"""Which predicted blocks stand for which true ones.

The quick matching of OmniDocBench v1.5 (github.com/opendatalab/OmniDocBench, Apache-2.0), told by
its rules: pairs nearer than 0.25 stand; for every other truth, adjacent predictions are joined as
long as each is found in it; then the cheapest assignment of all, of which pairs farther than 0.7
are undone; a truth left over goes to a prediction in which it is found; what is left on both sides
is assigned once more. Distances are Levenshtein's / length of the longer text.

Where a page would take too long (the published program stops after 30 seconds), there is one
assignment alone.

A truth without a partner is matched with nothing. Predictions without one are left out, as
published: what a page invents counts against it only where it stands in a matched block.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

SURE = 0.25
"""Pairs below stand as they are."""

HOPELESS = 0.7
"""Pairs above are undone."""

PART_OF_TRUTH = 0.6
"""A prediction is a part of a truth, if its distance to some place in it is not above."""

PART_OF_PREDICTION = 0.4
"""A truth is a part of a prediction, if its distance to some place in it is below."""

MAX_WORK = 4 * 10**10
"""Pairs of characters that are compared for one page, some seconds' worth, before giving up."""

CALL_WORK = 10_000
"""What a comparison of the shortest texts costs, in pairs of characters."""

MAX_KNOWN = 200
"""Characters of a text whose distances are kept."""

Run = tuple[int, ...]
"""Numbers of adjacent predictions, ascending."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Match:
    """Numbers of the true blocks and of the predicted ones that stand for them; maybe none."""

    truths: tuple[int, ...]
    predictions: Run


@dataclasses.dataclass(frozen=True, kw_only=True)
class Matching:
    """Every truth in exactly one match; `is_simple` where it was one assignment alone."""

    matches: list[Match]
    is_simple: bool = False


class _TooMuchWorkError(Exception):
    pass


class _Distances:
    """Levenshtein distances of one page, counted: so it ends on every machine at the same one."""

    def __init__(self, max_work: int):
        self.left = max_work
        self.known: dict[tuple, float] = {}  # of short texts: a loop says the same line for ever

    def distance(self, first: str, second: str) -> int:
        self.left -= len(first) * len(second) + CALL_WORK
        if self.left < 0:
            raise _TooMuchWorkError
        return Levenshtein.distance(first, second)

    def relative(self, truth: str, text: str) -> float:
        if len(text) > MAX_KNOWN:
            return self.distance(truth, text) / max(len(truth), len(text))
        if (truth, text) not in self.known:
            self.known[truth, text] = self.distance(truth, text) / max(len(truth), len(text))
        return self.known[truth, text]

    def to_part(self, needle: str, text: str, limit: float) -> float:
        """The least distance of `needle` to a part of `text` as long as it, / its length.

        Infinite where it is above `limit`, where the text is shorter or there is no needle.
        """
        if not 0 < len(needle) <= len(text):
            return math.inf
        if len(needle) > MAX_KNOWN:
            return self._to_part(needle, text, limit)
        if (needle, text, limit) not in self.known:
            self.known[needle, text, limit] = self._to_part(needle, text, limit)
        return self.known[needle, text, limit]

    def _to_part(self, needle: str, text: str, limit: float) -> float:
        length = len(needle)
        # From one part to the next the distance changes by at most 2, so that most parts cannot be
        # the nearest and are passed over.
        too_far = nearest = int(limit * length) + 1
        start = 0
        while start <= len(text) - length and nearest > 0:
            distance = self.distance(text[start : start + length], needle)
            nearest = min(nearest, distance)
            start += (distance - nearest) // 2 + 1
        return nearest / length if nearest < too_far else math.inf


def distance_matrix(truths: Sequence[str], predictions: Sequence[str]) -> NDArray[np.float64]:
    """(truths, predictions): normalised Levenshtein distances."""
    if not truths or not predictions:
        return np.zeros((len(truths), len(predictions)))
    return process.cdist(
        truths, predictions, scorer=Levenshtein.normalized_distance, dtype=np.float64
    )


def assign(costs: NDArray[np.float64]) -> list[tuple[int, int]]:
    """The cheapest assignment: (row, column) for as many as there are of the fewer."""
    if not costs.size:
        return []
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(costs)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def match_blocks(
    truths: Sequence[str], predictions: Sequence[str], *, max_work: int = MAX_WORK
) -> Matching:
    """Matches both sides, given as they are compared, none of them empty."""
    if len(truths) == len(predictions) == 1:
        return Matching(matches=[Match(truths=(0,), predictions=(0,))])
    try:
        partners = _quick_partners(truths, predictions, _Distances(max_work))
        is_simple = False
    except _TooMuchWorkError:
        pairs = assign(distance_matrix(truths, predictions))
        partners = {(prediction,): [truth] for truth, prediction in pairs}
        is_simple = True
    matches = [Match(truths=tuple(sorted(t)), predictions=r) for r, t in partners.items() if t]
    placed = {truth for match in matches for truth in match.truths}
    alone = (truth for truth in range(len(truths)) if truth not in placed)
    matches += [Match(truths=(truth,), predictions=()) for truth in alone]
    return Matching(matches=matches, is_simple=is_simple)


def _quick_partners(
    truths: Sequence[str], predictions: Sequence[str], distances: _Distances
) -> dict[Run, list[int]]:
    """Predictions -> the truths for which they stand, maybe none."""
    runs = _joined_runs(truths, predictions, distances)
    costs = distance_matrix(truths, [_joined(predictions, run) for run in runs])
    partners: dict[Run, list[int]] = {}
    for truth, column in assign(costs):
        if costs[truth, column] <= HOPELESS:
            partners.setdefault(runs[column], []).append(truth)
    _place_parts(partners, truths, predictions, distances)
    _pair_leftovers(partners, truths, predictions)
    return partners


def _joined(predictions: Sequence[str], run: Run) -> str:
    return " ".join(predictions[number] for number in run)


def _joined_runs(
    truths: Sequence[str], predictions: Sequence[str], distances: _Distances
) -> list[Run]:
    """All predictions in their order, those that make up one truth together in one run."""
    costs = distance_matrix(truths, predictions)
    sure = np.argwhere(costs < SURE)
    settled = set(sure[:, 0].tolist())
    open_truths = [truth for truth in range(len(truths)) if truth not in settled]
    taken = set(sure[:, 1].tolist())
    best = [
        candidate
        for truth in open_truths
        if (candidate := _best_run(truths[truth], predictions, taken, distances)) is not None
    ]
    chosen = {run[0]: run for run in _without_overlap(best)}
    runs: list[Run] = []
    number = 0
    while number < len(predictions):
        runs.append(chosen.get(number, (number,)))
        number = runs[-1][-1] + 1
    return runs


def _best_run(
    truth: str, predictions: Sequence[str], taken: set[int], distances: _Distances
) -> tuple[Run, float] | None:
    """The run of free predictions nearest to this truth, and its distance."""

    def to_part(number: int) -> float:
        return distances.to_part(predictions[number], truth, PART_OF_TRUTH)

    best: tuple[Run, float] | None = None
    for start in range(len(predictions)):
        if start in taken:
            continue
        run: Run = (start,)
        text = predictions[start]
        distance = distances.relative(truth, text)
        while (number := run[-1] + 1) < len(predictions) and number not in taken:
            if to_part(run[-1]) > PART_OF_TRUTH or to_part(number) >= PART_OF_TRUTH:
                break
            longer = f"{text} {predictions[number]}"
            longer_distance = distances.relative(truth, longer)
            if longer_distance > distance:
                break
            run, text, distance = (*run, number), longer, longer_distance
            if len(longer) > len(truth):
                break
        if best is None or distance < best[1]:
            best = (run, distance)
    return best


def _without_overlap(candidates: Iterable[tuple[Run, float]]) -> list[Run]:
    """Of the truths' best runs a set without common predictions.

    Runs that overlap, directly or through others, form a group. Along each group several ways are
    begun: a run joins all ways that it does not touch, else it begins one of its own. The way of
    the least mean distance stays.
    """
    chosen: list[Run] = []
    for group in _overlapping_groups(sorted(candidates, key=lambda pair: pair[0][0])):
        ways: list[dict[Run, float]] = []
        for run, distance in group:
            joined = False
            for way in ways:
                if run in way:
                    way[run] = min(way[run], distance)
                    joined = True
                elif not any(set(run) & set(other) for other in way):
                    way[run] = distance
                    joined = True
            if not joined:
                ways.append({run: distance})
        best: dict[Run, float] = min(ways, key=_mean_distance)
        chosen.extend(best)
    return chosen


def _mean_distance(way: dict[Run, float]) -> float:
    return sum(way.values()) / len(way)


def _overlapping_groups(
    ordered: Sequence[tuple[Run, float]],
) -> Iterable[list[tuple[Run, float]]]:
    group: list[tuple[Run, float]] = []
    members: set[int] = set()
    for run, distance in ordered:
        if group and not members & set(run):
            yield group
            group, members = [], set()
        group.append((run, distance))
        members |= set(run)
    if group:
        yield group


def _place_parts(
    partners: dict[Run, list[int]],
    truths: Sequence[str],
    predictions: Sequence[str],
    distances: _Distances,
) -> None:
    """Gives truths without a partner to the first prediction in which they are found.

    A prediction in which any is found counts as used from then on, as published.
    """
    placed = {truth for group in partners.values() for truth in group}
    free = [truth for truth in range(len(truths)) if truth not in placed]
    for number, prediction in enumerate(predictions):
        found = [
            truth
            for truth in free
            if distances.to_part(truths[truth], prediction, PART_OF_PREDICTION) < PART_OF_PREDICTION
        ]
        if found:
            group = partners.setdefault((number,), [])
            group += [truth for truth in found if truth not in placed]
            placed.update(found)


def _pair_leftovers(
    partners: dict[Run, list[int]], truths: Sequence[str], predictions: Sequence[str]
) -> None:
    """Assigns what is left on both sides, whatever the distance."""
    placed = {truth for group in partners.values() for truth in group}
    used = {number for run in partners for number in run}
    free = [truth for truth in range(len(truths)) if truth not in placed]
    spare = [number for number in range(len(predictions)) if number not in used]
    costs = distance_matrix([truths[t] for t in free], [predictions[p] for p in spare])
    for row, column in assign(costs):
        partners[(spare[column],)] = [free[row]]
