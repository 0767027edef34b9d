"""Grapheme errors: known pairs, and uniseg's clusters counted by rapidfuzz as the oracle."""

from __future__ import annotations

import random
import unicodedata

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein
from uniseg.graphemecluster import grapheme_clusters as unisegs_clusters

from deepseek_ocr.metrics.graphemes import grapheme_clusters, grapheme_score
from deepseek_ocr.metrics.text import text_score

PIECES = [
    *"abc .,\n\r\t",
    "\r\n",
    "é",
    "e\u0301",
    "o\u0308\u0323",
    "ſ",
    "字",
    "가",
    "\u1100\u1161\u11a8",
    "שָׁ",
    "سَّ",
    "\u202e",
    "\u200d",
    "\ufeff",
    "\u00ad",
    "😀",
    "👍🏽",
    "👩\u200d👩\u200d👧",
    "🇩🇪",
    "🇩",
    "1\ufe0f\u20e3",
    "क्ष",
    "नि",
    "ด้ำ",
    "\ud800",
    "\udc00",
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=20).map("".join)


def oracle(prediction: str, truth: str) -> tuple[int, int]:
    predicted, true = (
        list(unisegs_clusters(unicodedata.normalize("NFC", text))) for text in (prediction, truth)
    )
    return Levenshtein.distance(predicted, true), len(true)


@pytest.mark.parametrize(
    ("prediction", "truth", "errors", "length"),
    [
        (unicodedata.normalize("NFD", "Kälte"), "Kälte", 0, 5),
        ("Kalte", "Kälte", 1, 5),
        ("👍", "👍🏽", 1, 1),
        ("👩\u200d👩\u200d👧", "👩\u200d👩\u200d👧", 0, 1),
        ("a\nb", "a\r\nb", 1, 3),
        ("fmd", "ſind", 3, 4),
        ("", "क्ष", 1, 1),
        ("ab", "", 2, 0),
        ("", "", 0, 0),
        (" a", "a", 1, 1),
        ("שלום", "שָׁלוֹם", 2, 4),
        ("a\ud800", "a\udc00", 1, 2),
    ],
)
def test_known_pairs(prediction, truth, errors, length):
    score = grapheme_score(prediction, truth)
    assert (score.char_errors, score.num_chars) == (errors, length)
    assert score.cer == (errors / length if length else None if errors else 0)


@given(TEXTS, TEXTS)
def test_errors_equal_those_of_unisegs_clusters(prediction, truth):
    score = grapheme_score(prediction, truth)
    assert (score.char_errors, score.num_chars) == oracle(prediction, truth)


def test_errors_equal_those_of_unisegs_clusters_on_damaged_texts():
    chance = random.Random(0)
    for _ in range(500):
        truth = chance.choices(PIECES, k=chance.randrange(60))
        kept = "".join(piece for piece in truth if chance.random() < 0.8)
        score = grapheme_score(kept, "".join(truth))
        assert (score.char_errors, score.num_chars) == oracle(kept, "".join(truth))


@given(st.text(st.characters(exclude_categories=[]), max_size=40))
def test_the_pieces_are_the_composed_text(text):
    pieces = grapheme_clusters(text)
    assert "".join(pieces) == unicodedata.normalize("NFC", text)
    assert list(pieces) == regex.findall(r"\X", "".join(pieces))


@given(st.text(st.characters(max_codepoint=127)), st.text(st.characters(max_codepoint=127)))
def test_in_ascii_only_a_line_end_of_two_characters_is_one_cluster(prediction, truth):
    assert list(grapheme_clusters(truth)) == list(unisegs_clusters(truth))
    if "\r\n" not in prediction + truth:
        errors = text_score(prediction, truth).char_errors
        assert grapheme_score(prediction, truth).char_errors == errors
