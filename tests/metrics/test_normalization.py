"""Normalisations: what each forgives, and that they compose."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.metrics.normalization import ALL_TOGETHER, NORMALIZERS, REPORTED, normalizer


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("raw", " A\u0301 ", " A\u0301 "),
        ("nfc", "A\u0301", "Á"),
        ("case", "STRAßE", "strasse"),
        ("whitespace", " a\t b\r\n\nc\u3000d ", "a b c d"),
        ("punctuation", "a, b。(c) – «d» $1+1|2", "a bc  d $1+1|2"),
        ("case+whitespace", " A  B ", "a b"),
        (ALL_TOGETHER, "  Ça, va – «BIEN» ?", "ça va bien"),
    ],
)
def test_known_texts(name, text, expected):
    assert normalizer(name)(text) == expected


@given(st.text(), st.sampled_from(list(NORMALIZERS)))
def test_normalising_twice_is_normalising_once(text, name):
    once = normalizer(name)(text)
    assert normalizer(name)(once) == once


@given(st.text(), st.permutations(list(NORMALIZERS)))
def test_a_composition_applies_its_parts_from_left_to_right(text, names):
    expected = text
    for name in names:
        expected = NORMALIZERS[name](expected)
    assert normalizer("+".join(names))(text) == expected


@given(st.text())
def test_all_together_leaves_composed_text_on_one_line(text):
    result = normalizer(ALL_TOGETHER)(text)
    assert unicodedata.is_normalized("NFC", result)
    assert result == " ".join(result.split())


def test_raw_is_reported_first_and_every_normalisation_is_reported():
    assert REPORTED[0] == "raw"
    assert set(NORMALIZERS) < set(REPORTED)


@pytest.mark.parametrize("name", ["NFC", "", "nfc+", "nfc+accents"])
def test_an_unknown_name_is_refused_with_the_known_ones(name):
    with pytest.raises(ValueError, match="known: raw, nfc, case, whitespace, punctuation"):
        normalizer(name)
