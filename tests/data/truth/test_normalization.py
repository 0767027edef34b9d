from __future__ import annotations

import json
import sys
from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.data.annotations import Region
from deepseek_ocr.data.truth.normalization import (
    NORMALIZERS,
    check_normalization,
    normalize_annotation,
    normalized_truth,
)
from deepseek_ocr.data.truth.structures import Cell, Fields, Formula, Table, TextBlock
from deepseek_ocr.errors import UsageError

from ..splitting.columns_of import sample

ALL = "+".join(NORMALIZERS)


@pytest.mark.parametrize(
    "names, text, normalised",
    [
        ("nfc", "a\u0308 ﬁ ²", "ä ﬁ ²"),
        ("nfkc", "a\u0308 ﬁ ² ſ Ａ", "ä fi 2 s A"),
        ("invisible", "\ufeffTren\u00adnung\u200b \u202ax\u202c ab\u200cc", "Trennung x ab\u200cc"),
        ("ligatures", "ﬁnden oﬀen ﬅ", "finden offen ſt"),
        ("letters", "Haſe, ꝛ, ba\u0364ume, U\u0364bel, e\u0364", "Hase, r, bäume, Übel, e\u0364"),
        ("letters", "\ue42c\ue644\ue72b", "äöü"),
        ("ligatures+letters", "ﬅ", "st"),
        ("quotes", "„Ja“, »nein«, ‘so’, it’s, 5′ 6″", '"Ja", "nein", \'so\', it\'s, 5\' 6"'),
        ("dashes", "1–2 — wört⸗lich −3 non\u2011breaking", "1-2 - wört-lich -3 non-breaking"),
        ("dashes+blanks", "sol¬ \n¬dad¬", "sol-\n¬dad-"),
        ("blanks", "  a \t b\u00a0\u2003c  \r\n\n  d \u2028e\t", " a b c\n\n d\ne"),
        ("blanks", "a\r\rb", "a\n\nb"),
        ("quotes+dashes", "“a–b”", '"a-b"'),
        ("none", "“a–b”  ", "“a–b”  "),
    ],
)
def test_each_normalisation_does_what_its_name_says(names, text, normalised):
    assert normalized_truth(text, names) == normalised


def test_blanks_that_another_step_makes_are_collapsed_whatever_the_order_of_the_names():
    text = "a  \u00a8 b"  # NFKC writes U+00A8 as a blank and a combining mark
    assert normalized_truth(text, "blanks+nfkc") == normalized_truth(text, "nfkc+blanks")
    assert "  " not in normalized_truth(text, "blanks+nfkc")


subsets = st.lists(st.sampled_from(list(NORMALIZERS)), min_size=1, unique=True).map("+".join)
odd = st.text(st.sampled_from("a \t\n\r\u00a0\u0308\u0364ſﬁﬅ“’–⸗\u00ad\u200b\u00a8½\u2028Å가각"))


@given(st.one_of(odd, st.text()), subsets)
def test_what_is_normalised_once_stays_as_it_is(text, names):
    once = normalized_truth(text, names)
    assert normalized_truth(once, names) == once


def test_no_character_changes_for_ever():
    unassigned = ("Cs", "Cn", "Co")
    characters = [c for c in map(chr, range(sys.maxunicode + 1)) if category(c) not in unassigned]
    for start in range(0, len(characters), 1000):
        text = "\n".join(f"a {c}\u0308{c}b" for c in characters[start : start + 1000])
        once = normalized_truth(text, ALL)
        assert normalized_truth(once, ALL) == once


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126)), subsets)
def test_plain_text_is_never_changed(text, names):
    assert normalized_truth(text, names) == text


@given(st.text(), subsets)
def test_lines_stay_lines(text, names):
    joined = f"first\n{text}\nlast"
    found = normalized_truth(joined, names).split("\n")
    assert len(found) >= 3 + text.count("\n") and (found[0], found[-1]) == ("first", "last")


@pytest.mark.parametrize("names", ["nfd", "", "nfc,blanks", "nfc+", "none+nfc", "NFC"])
def test_unknown_names_are_wrong_usage_and_the_known_ones_are_named(names):
    with pytest.raises(UsageError, match="expected none or some of nfkc"):
        check_normalization(names)


def test_json_stays_json():
    text = '{"„key“" : "say “hi”\\n  twice", "list": ["–", 1, null], "a": {"b": "\\u201c"}}'
    found = normalized_truth(text, "quotes+dashes+blanks")
    assert found == (
        '{"„key“" : "say \\"hi\\"\\n twice", "list": ["-", 1, null], "a": {"b": "\\""}}'
    )
    assert json.loads(found)["„key“"] == 'say "hi"\n twice'
    assert normalized_truth("[sic] “x”", "quotes") == '[sic] "x"'


leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.text())
values = st.recursive(
    leaves,
    lambda v: st.one_of(
        st.lists(v, min_size=1, max_size=3), st.dictionaries(st.text(), v, min_size=1, max_size=3)
    ),
    max_leaves=8,
).filter(lambda value: isinstance(value, dict | list))


@given(values, subsets, st.booleans())
def test_strings_inside_json_are_normalised_as_those_of_fields(value, names, ascii_only):
    text = json.dumps(value, ensure_ascii=ascii_only)
    row = normalize_annotation(sample("a.png", text=text, structure=(Fields(value=value),)), names)
    assert [Fields(value=json.loads(row.text))] == list(row.structure)


def test_all_true_text_of_a_sample_is_normalised_and_nothing_else():
    row = sample(
        "a–b.png",
        name="“id”",
        text="“a”",
        lang="–",
        regions=(Region(label="“label”", box=(0, 0, 1, 1), text="“b”"),),
        structure=(
            TextBlock(text="“c”", label="“title”"),
            Formula(latex="a–b"),
            Table(cells=(Cell(row=0, column=0, text="“d”", is_header=True),)),
            Fields(value={"“key”": ["“e”", 1, {"f": None}]}),
        ),
    )
    found = normalize_annotation(row, "quotes+dashes")
    assert (found.text, found.id, found.images, found.lang) == ('"a"', "“id”", ("a–b.png",), "–")
    assert found.regions == (Region(label="“label”", box=(0, 0, 1, 1), text='"b"'),)
    assert found.structure == (
        TextBlock(text='"c"', label="“title”"),
        Formula(latex="a-b"),
        Table(cells=(Cell(row=0, column=0, text='"d"', is_header=True),)),
        Fields(value={"“key”": ['"e"', 1, {"f": None}]}),
    )
    assert normalize_annotation(row, "none") is row


@pytest.mark.parametrize(
    "text", [" " * 10**6 + "x", '["' + '\\"' * 10**6, '"' * 10**6, "[" * 10**6]
)
def test_hostile_texts_end_soon(text):
    assert normalized_truth(text, ALL)
