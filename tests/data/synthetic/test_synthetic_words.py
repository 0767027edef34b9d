"""Made-up English and made-up facts."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.data.synthetic import content, words
from deepseek_ocr.data.synthetic.seeds import stream

RANDOMS = st.integers(0, 2**64).map(random.Random)


@pytest.mark.parametrize(
    "noun, plural",
    [("book", "books"), ("city", "cities"), ("day", "days"), ("church", "churches"),
     ("box", "boxes"), ("child", "children"), ("shelf", "shelves")],
)  # fmt: skip
def test_plurals(noun, plural):
    assert words.plural(noun) == plural


@pytest.mark.parametrize("verb, past", [("ask", "asked"), ("use", "used"), ("carry", "carried")])
def test_past_tenses(verb, past):
    assert words.past(verb) == past


@given(RANDOMS)
def test_a_sentence_begins_with_a_capital_and_ends_with_a_stop(rng):
    text = words.sentence(rng)
    first = text.lstrip("“")[0]
    assert first.isupper() or first.isdigit()
    assert text[-1] in ".?!"
    assert "  " not in text
    assert " a a" not in text.replace(" a an", "")


@given(RANDOMS)
def test_article_fits_the_word_after_it(rng):
    assert words.article("old", rng) != "a"
    assert words.article("hour", rng) != "a"
    assert words.article("new", rng) != "an"


def test_frequent_words_come_more_often():
    rng = stream("words")
    drawn = [words.by_frequency(rng, "abcdefghij") for _ in range(3000)]
    assert drawn.count("a") > 2 * drawn.count("j") > 0


def test_sentences_do_not_repeat():
    rng = stream("sentences")
    assert len({words.sentence(rng) for _ in range(2000)}) > 1980


def test_streams_are_named_and_never_change():
    assert stream(0, 1, "lines").random() == stream(0, 1, "lines").random()
    assert stream(0, 1, "lines").random() != stream(1, 0, "lines").random()
    assert stream(1).getrandbits(32) == 2458671554


@given(RANDOMS)
def test_money_has_two_decimals(rng):
    price = content.price(rng)
    assert price >= Decimal("0.10")
    assert content.money(price, "€")[-3] == "."


@pytest.mark.parametrize(
    "make",
    [content.person, content.company, content.street, content.postal_town, content.phone,
     content.web_address, content.code, content.date, content.clock, content.goods,
     words.heading],
)  # fmt: skip
def test_facts_are_one_line_and_varied(make):
    rng = stream(make.__name__)
    made = {make(rng) for _ in range(300)}
    assert len(made) > 200
    assert all(text == " ".join(text.split()) and text for text in made)
