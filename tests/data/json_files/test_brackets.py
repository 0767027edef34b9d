from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.data.json_files.brackets import Brackets

texts = st.text(st.sampled_from('ab"\\[]{}é, 😀'), max_size=8)
members = st.recursive(
    texts | st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
values = st.lists(members, max_size=3) | st.dictionaries(texts, members, max_size=3)


@given(values, st.booleans(), st.integers(1, 9))
def test_a_value_is_closed_with_its_last_bracket_however_it_is_cut(value, ascii_only, size):
    text = json.dumps(value, ensure_ascii=ascii_only)
    brackets = Brackets()
    for start in range(0, len(text), size):
        assert not brackets.closed
        brackets.feed(text[start : start + size])
    assert brackets.closed
    brackets.feed(', [{"a": "')
    assert brackets.closed


@given(texts, st.integers(1, 9))
def test_a_string_is_closed_with_what_follows_its_quote(text, size):
    written = json.dumps(text)
    brackets = Brackets()
    for start in range(0, len(written), size):
        brackets.feed(written[start : start + size])
    assert not brackets.closed
    brackets.feed(",")
    assert brackets.closed
