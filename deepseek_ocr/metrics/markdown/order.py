"""How far the order in which a page was read is from the order in which it should be."""

from __future__ import annotations

from collections.abc import Sequence

from rapidfuzz.distance import Levenshtein


def order_distance(
    found: Sequence[tuple[float, Sequence[float]]], missed: Sequence[float]
) -> float | None:
    """Levenshtein distance of the true order and the read one, / the longer; None of nothing.

    `found` are (place in the prediction, places of the true blocks that stand there), `missed` the
    places of the true blocks that do not occur. As OmniDocBench: true places of 0 are dropped.
    """
    in_prediction = sorted(found, key=lambda pair: pair[0])
    read = [place for _, places in in_prediction for place in places if place]
    true = sorted([*read, *(place for place in missed if place)])
    if not true:
        return None
    numbers = {place: number for number, place in enumerate(sorted(set(true)))}
    return Levenshtein.normalized_distance(
        [numbers[place] for place in true], [numbers[place] for place in read]
    )
