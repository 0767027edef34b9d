"""Error rates: known pairs, jiwer as the oracle, and what must hold for any two texts."""

from __future__ import annotations

import random
import unicodedata

import jiwer
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from deepseek_ocr.metrics.text import (
    error_rate,
    mean,
    quantile,
    summarize_rates,
    text_score,
)

TEXTS = st.text(max_size=40) | st.text("ab \n", max_size=40)


def as_characters():
    return jiwer.Compose([jiwer.ReduceToListOfListOfChars()])


class SplitAtWhitespace(jiwer.AbstractTransform):
    """Words as we define them; jiwer's own transform splits at one blank only."""

    def process_string(self, text: str) -> list[list[str]]:
        return [text.split()]

    def process_list(self, texts: list[str]) -> list[list[str]]:
        return [text.split() for text in texts]


def as_words():
    return jiwer.Compose([SplitAtWhitespace()])


def jiwer_cer(truth, prediction) -> float:
    return jiwer.cer(truth, prediction, as_characters(), as_characters())


def jiwer_wer(truth, prediction) -> float:
    return jiwer.wer(truth, prediction, as_words(), as_words())


def random_pairs(count: int, seed: int) -> list[tuple[str, str]]:
    """(prediction, truth) of many lengths, the prediction a damaged truth or unrelated."""
    chance = random.Random(seed)
    alphabet = "abcdeE \n\t.,é" + "e\u0301" + "م字😀\u202e"
    pairs = []
    for _ in range(count):
        truth = "".join(chance.choices(alphabet, k=chance.randrange(60)))
        if chance.random() < 0.2:
            prediction = "".join(chance.choices(alphabet, k=chance.randrange(60)))
        else:
            prediction = "".join(
                chance.choice(["", c + c, chance.choice(alphabet)]) if chance.random() < 0.2 else c
                for c in truth
            )
        pairs.append((prediction, truth))
    return pairs


@pytest.mark.parametrize(
    ("prediction", "truth", "cer", "wer"),
    [
        ("cat", "cat", 0, 0),
        ("cut", "cat", 1 / 3, 1),
        ("", "", 0, 0),
        ("", "a cat", 1, 1),
        ("abc", "", None, None),
        ("a\nb", "a b", 1 / 3, 0),
        (" cat", "cat", 1 / 3, 0),
        ("aaaa", "a", 3, 1),
        ("שלום", "שלם", 1 / 3, 1),
        ("👍🏽", "👍", 1, 1),
    ],
)
def test_rates_of_known_pairs(prediction, truth, cer, wer):
    score = text_score(prediction, truth)
    assert score.cer == (None if cer is None else pytest.approx(cer))
    assert score.wer == (None if wer is None else pytest.approx(wer))


def test_a_decomposed_accent_counts_as_two_characters():
    decomposed = unicodedata.normalize("NFD", "Kälte")
    assert text_score(decomposed, "Kälte").cer == pytest.approx(2 / 5)


def test_a_truth_of_blanks_has_characters_but_no_words():
    score = text_score("word", "  ")
    assert (score.cer, score.wer) == (2.0, None)


def test_lone_surrogates_are_scored_like_any_character():
    assert text_score("a\ud800", "a\udc00").char_errors == 1


def test_rates_equal_jiwers_on_ten_thousand_random_pairs():
    for prediction, truth in random_pairs(10_000, seed=0):
        score = text_score(prediction, truth)
        if truth:
            assert score.cer == jiwer_cer(truth, prediction)
        else:
            assert score.char_errors == jiwer_cer(truth, prediction)
        if truth.split():
            assert score.wer == jiwer_wer(truth, prediction)
        else:
            assert score.word_errors == jiwer_wer(truth, prediction)


def test_micro_rates_of_many_texts_equal_jiwers_pooled_rates():
    predictions, truths = zip(*random_pairs(500, seed=1), strict=True)
    scores = [text_score(*pair) for pair in zip(predictions, truths, strict=True)]
    cer = summarize_rates([s.char_errors for s in scores], [s.num_chars for s in scores])
    wer = summarize_rates([s.word_errors for s in scores], [s.num_words for s in scores])
    assert cer.micro == jiwer_cer(list(truths), list(predictions))
    assert wer.micro == jiwer_wer(list(truths), list(predictions))
    assert cer.num_empty_truths == sum(not truth for truth in truths) > 0


@given(TEXTS, TEXTS)
def test_rates_equal_jiwers_on_any_text(prediction, truth):
    assume(truth.split())
    score = text_score(prediction, truth)
    assert score.cer == jiwer_cer(truth, prediction)
    assert score.wer == jiwer_wer(truth, prediction)


@given(TEXTS, TEXTS)
def test_errors_are_symmetric_and_similarity_lies_between_0_and_1(first, second):
    there, back = text_score(first, second), text_score(second, first)
    assert there.char_errors == back.char_errors
    assert there.word_errors == back.word_errors
    assert 0 <= there.similarity == back.similarity <= 1
    assert there.exact == (first == second) == (there.char_errors == 0)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=20), st.randoms())
def test_order_of_the_rows_does_not_change_a_summary(pairs, chance):
    shuffled = list(pairs)
    chance.shuffle(shuffled)
    assert summary_of(shuffled) == summary_of(pairs)


def test_an_empty_truth_counts_its_insertions_in_micro_only():
    summary = summary_of([(1, 10), (3, 0), (5, 5)])
    assert summary.micro == pytest.approx(9 / 15)
    assert summary.macro == pytest.approx((0.1 + 1) / 2)
    assert summary.median == pytest.approx(0.55)
    assert (summary.num_rows, summary.num_empty_truths) == (3, 1)


def test_summary_of_known_rates():
    summary = summary_of([(0, 10), (1, 10), (2, 10), (30, 10)])
    assert summary.micro == pytest.approx(33 / 40)
    assert summary.median == pytest.approx(0.15)
    assert summary.p90 == pytest.approx(0.2 + 0.7 * 2.8)
    assert summary.maximum == 3
    assert summary.share_above_1 == 0.25


@pytest.mark.parametrize("pairs", [[], [(0, 0)], [(4, 0)]])
def test_without_a_truth_only_micro_can_be_said(pairs):
    summary = summary_of(pairs)
    assert summary.micro == (None if sum(e for e, _ in pairs) else 0)
    assert summary.macro is summary.median is summary.p90 is summary.share_above_1 is None


def test_averages_of_nothing_are_none():
    assert mean([]) is quantile([], 0.5) is error_rate(1, 0) is None


def summary_of(pairs):
    return summarize_rates([errors for errors, _ in pairs], [length for _, length in pairs])
