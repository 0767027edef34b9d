"""NID, the text similarity of opendataloader-bench: reading order and characters in one figure."""

from __future__ import annotations

from rapidfuzz import fuzz


def nid(prediction: str, truth: str) -> float | None:
    """1 - insertions and deletions / both lengths, with every run of white space one blank.

    Markup counts as characters. None for an empty truth, as published.
    """
    expected = " ".join(truth.split())
    if not expected:
        return None
    return fuzz.ratio(expected, " ".join(prediction.split())) / 100
