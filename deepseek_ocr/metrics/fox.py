"""Precision, recall and F1 over sets of distinct words, and edit distance, as Fox scores a page.

Definitions of `eval_tools/eval_ocr_test.py` in github.com/ucaslcl/Fox: words are what white space
separates; a text with Chinese characters, in the prediction or in the truth, is cut into words by
jieba. How often a word occurs and where does not matter. Of many pages: means.

Precision here is the share of the predicted words that are true. The script takes a row's `label`
for the prediction and its `answer` for the truth; where `label` holds the truth, its precision is
our recall and the other way round. F1 and edit distance are the same either way.

Fox divides by zero where we say: two empty texts have distance 0; a truth without words has no
precision, recall or F1; a prediction without words has 0 of each.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import re
from collections.abc import Callable, Sequence
from typing import Any

from rapidfuzz.distance import Levenshtein

from .text import mean

_CHINESE = re.compile("[\u4e00-\u9fa5]")

NO_JIEBA = "Chinese words need the package jieba, which is not installed"
NO_WORDS = "the truth has no words"


@dataclasses.dataclass(frozen=True, kw_only=True)
class FoxScore:
    """One page. Where precision, recall and F1 are None, `reason` says why.

    `edit_distance` = character errors / length of the longer text, 0 (best) to 1.
    """

    precision: float | None
    recall: float | None
    f1: float | None
    edit_distance: float
    reason: str | None = None


def fox_score(prediction: str, truth: str) -> FoxScore:
    """Precision: share of the predicted words that are true; recall: of the true, predicted."""
    distance = Levenshtein.normalized_distance(prediction, truth)
    split = _word_splitter(prediction, truth)
    if split is None:
        return _without_words(distance, NO_JIEBA)
    predicted, true = set(split(prediction)), set(split(truth))
    if not true:
        return _without_words(distance, NO_WORDS)
    common = len(predicted & true)
    return FoxScore(
        precision=common / len(predicted) if predicted else 0.0,
        recall=common / len(true),
        f1=2 * common / (len(predicted) + len(true)),
        edit_distance=distance,
    )


def _without_words(edit_distance: float, reason: str) -> FoxScore:
    return FoxScore(
        precision=None, recall=None, f1=None, edit_distance=edit_distance, reason=reason
    )


def _word_splitter(prediction: str, truth: str) -> Callable[[str], Sequence[str]] | None:
    """Text -> words for both texts of a pair; None if they need jieba and it is not there."""
    if _CHINESE.search(prediction) or _CHINESE.search(truth):
        return _jieba_splitter()
    return str.split


@functools.cache
def _jieba_splitter() -> Callable[[str], list[str]] | None:
    try:
        return importlib.import_module("jieba").lcut
    except ImportError:
        return None


def summarize_fox(scores: Sequence[FoxScore]) -> dict[str, Any]:
    """Means over pages; `num_rows` is how many have precision and recall, `reasons` why others not.

    `reasons` counts the pages of each reason. All pages have an edit distance.
    """
    scored = [score for score in scores if score.reason is None]
    reasons = sorted(score.reason for score in scores if score.reason is not None)
    return {
        **{
            name: mean([getattr(score, name) for score in scored])
            for name in ("precision", "recall", "f1")
        },
        "edit_distance": mean([score.edit_distance for score in scores]),
        "num_rows": len(scored),
        "reasons": {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)},
    }
