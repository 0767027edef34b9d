"""Words without their order, and word n-grams: bag-of-words error and BLEU.

Words are what white space separates. Both keep counts of each text, so that many texts add up the
same in any order.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

from .text import mean

MAX_ORDER = 4
"""BLEU counts n-grams of one to four words."""

Smoothing = Literal["exp", "none"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BagOfWords:
    """How far two multisets of words are apart.

    `errors` = sum over all words of |count in truth - count in prediction|; `total` = words of the
    truth + words of the prediction (OCR-D evaluation specification).
    """

    errors: int
    total: int

    @property
    def rate(self) -> float | None:
        """errors / total, 0 (the same words) to 1 (none in common); None without any word."""
        return self.errors / self.total if self.total else None


def bag_of_words(prediction: str, truth: str) -> BagOfWords:
    """Compares the words of two texts; where they stand does not matter."""
    predicted, true = Counter(prediction.split()), Counter(truth.split())
    total = predicted.total() + true.total()
    return BagOfWords(errors=total - 2 * (predicted & true).total(), total=total)


def summarize_bags(bags: Sequence[BagOfWords]) -> dict[str, Any]:
    """micro = all errors / all totals; macro = mean of the rates of the rows that have words."""
    rates = [bag.rate for bag in bags if bag.rate is not None]
    total = sum(bag.total for bag in bags)
    return {
        "micro": sum(bag.errors for bag in bags) / total if total else None,
        "macro": mean(rates),
        "num_rows": len(rates),
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class BleuCounts:
    """What BLEU needs of one pair: by order 1 to 4, the n-grams found and those predicted.

    An n-gram is found as often as the truth holds it, no more. `num_words` and `num_true_words` are
    the lengths of the prediction and of the truth.
    """

    matches: tuple[int, ...]
    totals: tuple[int, ...]
    num_words: int
    num_true_words: int


def bleu_counts(prediction: str, truth: str) -> BleuCounts:
    """N-grams that the prediction shares with its one truth."""
    predicted, true = prediction.split(), truth.split()
    matches = []
    for order in range(1, MAX_ORDER + 1):
        matches.append((_ngrams(predicted, order) & _ngrams(true, order)).total())
    return BleuCounts(
        matches=tuple(matches),
        totals=tuple(max(0, len(predicted) - order) for order in range(MAX_ORDER)),
        num_words=len(predicted),
        num_true_words=len(true),
    )


def _ngrams(words: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(words[start:] for start in range(order)), strict=False))


def corpus_bleu(counts: Sequence[BleuCounts], *, smoothing: Smoothing = "exp") -> float | None:
    """BLEU of all pairs together, 0 to 1; None where no truth has a word.

    Equals a hundredth of sacrebleu's with `tokenize="none"`. `exp` (its default) takes half of a
    match, then a quarter and so on, for orders of which none matched; with `none` those make it 0.
    An empty prediction takes part: it shortens the text, and the brevity penalty says so.
    """
    return _bleu(counts, smoothing, effective_order=False)


def sentence_bleu(prediction: str, truth: str, *, smoothing: Smoothing = "exp") -> float | None:
    """BLEU of one pair, 0 to 1; None if the truth has no word.

    Orders longer than the prediction are left out, as in sacrebleu's `sentence_bleu`.
    """
    return _bleu([bleu_counts(prediction, truth)], smoothing, effective_order=True)


def _bleu(
    counts: Sequence[BleuCounts], smoothing: Smoothing, *, effective_order: bool
) -> float | None:
    num_words = sum(count.num_words for count in counts)
    num_true_words = sum(count.num_true_words for count in counts)
    if not num_true_words:
        return None
    matches = [sum(count.matches[n] for count in counts) for n in range(MAX_ORDER)]
    totals = [sum(count.totals[n] for count in counts) for n in range(MAX_ORDER)]
    if not any(matches):
        return 0.0
    if effective_order:
        totals = [total for total in totals if total]
    logarithms, unmatched = [], 0
    for found, total in zip(matches, totals, strict=False):
        if not found:
            unmatched += 1
            if smoothing == "none" or not total:
                return 0.0
        logarithms.append(math.log((found or 0.5**unmatched) / total))
    brevity = min(0.0, 1 - num_true_words / num_words)
    return math.exp(brevity + math.fsum(logarithms) / len(logarithms))
