"""Character errors counted in grapheme clusters: what a reader takes for one character.

Both texts are composed first (Unicode NFC), then cut into extended grapheme clusters (UAX 29), as
the OCR-D evaluation specification and dinglehopper do: a letter with its accents, an emoji with its
skin tone or a Hangul syllable is one character, however many code points it takes. Else as `text`.
"""

from __future__ import annotations

import dataclasses
import functools
import unicodedata
from collections.abc import Sequence
from typing import Any

from rapidfuzz.distance import Levenshtein

from .text import error_rate


@dataclasses.dataclass(frozen=True, kw_only=True)
class GraphemeScore:
    """One prediction against one truth, in clusters; `num_chars` is the truth's length."""

    char_errors: int
    num_chars: int

    @property
    def cer(self) -> float | None:
        """Errors / clusters of the truth; None if only the truth is empty."""
        return error_rate(self.char_errors, self.num_chars)


def grapheme_score(prediction: str, truth: str) -> GraphemeScore:
    """Scores one prediction; nothing is stripped."""
    predicted, true = grapheme_clusters(prediction), grapheme_clusters(truth)
    if isinstance(predicted, str) and isinstance(true, str):
        return GraphemeScore(char_errors=Levenshtein.distance(predicted, true), num_chars=len(true))
    # Numbered, because rapidfuzz compares list items by their hash and hashes can collide.
    numbers: dict[str, int] = {}
    first = [numbers.setdefault(cluster, len(numbers)) for cluster in predicted]
    second = [numbers.setdefault(cluster, len(numbers)) for cluster in true]
    return GraphemeScore(char_errors=Levenshtein.distance(first, second), num_chars=len(true))


def grapheme_clusters(text: str) -> Sequence[str]:
    """The text composed and cut; joined, the pieces are its NFC.

    That NFC itself, a sequence of its characters, where each stands alone: most texts, and fast.
    """
    composed = unicodedata.normalize("NFC", text)
    joining, cluster = _patterns()
    return cluster.findall(composed) if joining.search(composed) else composed


@functools.cache
def _patterns() -> tuple[Any, Any]:
    """What begins or goes on in a cluster of several characters, and a cluster."""
    import regex

    kinds = ("Extend", "ZWJ", "SpacingMark", "Prepend", "Regional_Indicator", "L", "V", "T")
    breaks = "".join(rf"\p{{Grapheme_Cluster_Break={kind}}}" for kind in kinds)
    return regex.compile(rf"[{breaks}]|\r\n"), regex.compile(r"\X")
