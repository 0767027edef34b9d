"""Named ways to forgive differences before two texts are compared; they compose with `+`.

Every score is also reported `raw`, without any of them. Both texts, truth and prediction, go
through the same normaliser.
"""

from __future__ import annotations

import functools
import sys
import unicodedata
from collections.abc import Callable

Normalizer = Callable[[str], str]


def compose_accents(text: str) -> str:
    """Unicode NFC: a letter followed by a combining accent becomes the accented letter."""
    return unicodedata.normalize("NFC", text)


def fold_case(text: str) -> str:
    """Upper and lower case become one (full Unicode case folding: `ß` becomes `ss`)."""
    return text.casefold()


def collapse_whitespace(text: str) -> str:
    """Every run of white space, line ends too, becomes one blank; none at the ends."""
    return " ".join(text.split())


def drop_punctuation(text: str) -> str:
    """Removes Unicode punctuation (categories P*); symbols such as `$`, `+` and `|` stay."""
    return text.translate(_punctuation())


@functools.cache
def _punctuation() -> dict[int, None]:
    """A translation that deletes; twice as fast as asking for the category of each character."""
    points = range(sys.maxunicode + 1)
    return {point: None for point in points if unicodedata.category(chr(point)).startswith("P")}


NORMALIZERS: dict[str, Normalizer] = {
    "nfc": compose_accents,
    "case": fold_case,
    "whitespace": collapse_whitespace,
    "punctuation": drop_punctuation,
}

# Blanks left behind by punctuation are collapsed after it; NFC is last, as folding can decompose.
ALL_TOGETHER = "case+punctuation+whitespace+nfc"
REPORTED = ("raw", *NORMALIZERS, ALL_TOGETHER)
"""The normalisations shown beside each other in every report, `raw` first."""


def normalizer(name: str) -> Normalizer:
    """`"case+nfc"` -> a function that folds case, then composes; `"raw"` changes nothing.

    Raises:
        ValueError: a part of the name is not in `NORMALIZERS`.
    """
    if name == "raw":
        return str
    parts = name.split("+")
    for part in parts:
        if part not in NORMALIZERS:
            known = ", ".join(["raw", *NORMALIZERS])
            raise ValueError(f"unknown normalisation {part!r} in {name!r}; known: {known}")
    steps = [NORMALIZERS[part] for part in parts]

    def apply(text: str) -> str:
        for step in steps:
            text = step(text)
        return text

    return apply
