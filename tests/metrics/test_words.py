"""Bag of words and BLEU: known pairs, sacrebleu as the oracle, and what must hold for any texts."""

from __future__ import annotations

import random

import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.metrics.words import (
    bag_of_words,
    bleu_counts,
    corpus_bleu,
    sentence_bleu,
    summarize_bags,
)

SENTENCES = st.lists(st.sampled_from(["a", "b", "c", "d", "é"]), max_size=12).map(" ".join)
PAIRS = st.lists(st.tuples(SENTENCES, SENTENCES), min_size=1, max_size=6)


def corpus(pairs, smoothing="exp"):
    return corpus_bleu([bleu_counts(*pair) for pair in pairs], smoothing=smoothing)


@pytest.mark.parametrize(
    ("prediction", "truth", "errors", "total"),
    [
        ("a b c", "c\nb a", 0, 6),
        ("a a b", "a b b", 2, 6),
        ("", "a b", 2, 2),
        ("a b", "", 2, 2),
        ("", " ", 0, 0),
        ("Kalte", "Kälte", 2, 2),
    ],
)
def test_bags_of_known_pairs(prediction, truth, errors, total):
    bag = bag_of_words(prediction, truth)
    assert (bag.errors, bag.total) == (errors, total)
    assert bag.rate == (errors / total if total else None)


@given(SENTENCES, SENTENCES, st.randoms())
def test_the_order_of_the_words_does_not_change_a_bag(first, second, chance):
    words = first.split()
    chance.shuffle(words)
    assert bag_of_words(" ".join(words), second) == bag_of_words(second, first)


def test_summary_of_bags_leaves_rows_without_words_out_of_the_mean():
    bags = [bag_of_words("a", "a"), bag_of_words("b c d", "a"), bag_of_words("", "")]
    assert summarize_bags(bags) == {"micro": pytest.approx(4 / 6), "macro": 0.5, "num_rows": 2}
    assert summarize_bags([]) == {"micro": None, "macro": None, "num_rows": 0}


@given(PAIRS, st.sampled_from(["exp", "none"]))
def test_bleu_of_a_corpus_equals_sacrebleus(pairs, smoothing):
    score = corpus(pairs, smoothing)
    predictions, truths = map(list, zip(*pairs, strict=True))
    theirs = sacrebleu.corpus_bleu(
        predictions, [truths], tokenize="none", smooth_method=smoothing, force=True
    )
    if any(truths):
        assert score == pytest.approx(theirs.score / 100)
    else:
        assert score is None


@given(SENTENCES, SENTENCES, st.sampled_from(["exp", "none"]))
def test_bleu_of_one_sentence_equals_sacrebleus(prediction, truth, smoothing):
    theirs = sacrebleu.sentence_bleu(
        prediction, [truth], tokenize="none", smooth_method=smoothing
    ).score
    expected = pytest.approx(theirs / 100) if truth else None
    assert sentence_bleu(prediction, truth, smoothing=smoothing) == expected


def test_bleu_of_long_damaged_pages_equals_sacrebleus():
    chance = random.Random(0)
    truths = [
        " ".join(chance.choices(["the", "of", "and", "to", "a", "in"], k=300)) for _ in range(5)
    ]
    damaged = [" ".join(w for w in t.split() if chance.random() < 0.9) for t in truths]
    theirs = sacrebleu.corpus_bleu(damaged, [truths], tokenize="none", force=True).score
    assert corpus(list(zip(damaged, truths, strict=True))) == pytest.approx(theirs / 100)


def test_empty_answers_lower_the_bleu_of_a_corpus():
    page = "one two three four five six"
    assert corpus([(page, page)]) == pytest.approx(1)
    assert corpus([(page, page), ("", page)]) < 0.5
    assert corpus([("", page)]) == 0


@given(PAIRS, st.randoms())
def test_the_order_of_the_pairs_does_not_change_bleu(pairs, chance):
    shuffled = list(pairs)
    chance.shuffle(shuffled)
    assert corpus(shuffled) == corpus(pairs)
