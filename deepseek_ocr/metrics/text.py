"""How far a prediction is from the truth: character and word errors, one text or many.

An error is one insertion, deletion or substitution (Levenshtein, counted by rapidfuzz). Characters
are code points, words are what white space separates, nothing is stripped; with these the rates
equal jiwer's under identity transforms.

A rate divides by the length of the truth, so it can pass 1. Of many texts:
micro = all errors / all lengths; macro = mean of the texts' own rates; median and p90 of the same.
An empty truth has no rate of its own: its insertions count in micro, the others leave it out, and
`num_empty_truths` says how many there were.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from rapidfuzz.distance import Levenshtein


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextScore:
    """One prediction against one truth; `num_chars` and `num_words` are the truth's."""

    char_errors: int
    num_chars: int
    word_errors: int
    num_words: int
    similarity: float
    exact: bool

    @property
    def cer(self) -> float | None:
        """Character errors / characters of the truth; None if only the truth is empty."""
        return error_rate(self.char_errors, self.num_chars)

    @property
    def wer(self) -> float | None:
        """Word errors / words of the truth; None if only the truth has no words."""
        return error_rate(self.word_errors, self.num_words)


def text_score(prediction: str, truth: str) -> TextScore:
    """Scores one prediction, both texts exactly as given.

    `similarity` = 1 - character errors / length of the longer text (1 for two empty texts).
    """
    char_errors = Levenshtein.distance(prediction, truth)
    longer = max(len(prediction), len(truth))
    predicted_words, true_words = prediction.split(), truth.split()
    return TextScore(
        char_errors=char_errors,
        num_chars=len(truth),
        word_errors=_word_errors(predicted_words, true_words),
        num_words=len(true_words),
        similarity=1 - char_errors / longer if longer else 1.0,
        exact=prediction == truth,
    )


def _word_errors(prediction: list[str], truth: list[str]) -> int:
    # Numbered, because rapidfuzz compares list items by their hash and hashes can collide.
    numbers: dict[str, int] = {}
    first = [numbers.setdefault(word, len(numbers)) for word in prediction]
    second = [numbers.setdefault(word, len(numbers)) for word in truth]
    return Levenshtein.distance(first, second)


def error_rate(errors: int, length: int) -> float | None:
    """Errors / length of the truth; of an empty truth 0 without errors, else None (undefined)."""
    if length:
        return errors / length
    return None if errors else 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class RateSummary:
    """Error rates of many texts; None where no text has a rate (see the module's docstring)."""

    micro: float | None
    macro: float | None
    median: float | None
    p90: float | None
    maximum: float | None
    share_above_1: float | None
    errors: int
    length: int
    num_rows: int
    num_empty_truths: int


def summarize_rates(errors: Sequence[int], lengths: Sequence[int]) -> RateSummary:
    """Errors and truth lengths of each text -> their summary; their order does not matter."""
    rates = [e / n for e, n in zip(errors, lengths, strict=True) if n]
    return RateSummary(
        micro=error_rate(sum(errors), sum(lengths)),
        macro=mean(rates),
        median=quantile(rates, 0.5),
        p90=quantile(rates, 0.9),
        maximum=max(rates, default=None),
        share_above_1=mean([rate > 1 for rate in rates]),
        errors=sum(errors),
        length=sum(lengths),
        num_rows=len(lengths),
        num_empty_truths=len(lengths) - len(rates),
    )


def mean(values: Sequence[float]) -> float | None:
    """Arithmetic mean, the same in any order; None of nothing."""
    return math.fsum(values) / len(values) if values else None


def quantile(values: Sequence[float], share: float) -> float | None:
    """The value below which `share` of them lie, interpolated linearly; None of nothing."""
    return float(np.quantile(values, share)) if len(values) else None
