from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.data.json_files.numbers import json_text
from deepseek_ocr.data.json_files.strict import RowError, decode_whole, json_type

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from('ab"é'), inner),
    max_leaves=8,
)  # fmt: skip
literals = st.from_regex(
    r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,2})?", fullmatch=True
)


@given(literals)
def test_every_number_is_written_as_it_was(literal):
    text = f'{{"a": [{literal}, 1]}}'
    value = decode_whole(text, keep_numbers=True)
    assert json_text(value) == text
    assert value == json.loads(text) and json_type(value["a"][0]) == "a number"


@given(json_values)
def test_all_else_is_written_as_json_dumps_writes_it(value):
    assert json_text(value) == json.dumps(value, ensure_ascii=False)


def test_nesting_as_deep_as_can_be_read_can_be_written():
    value = "x"
    for _ in range(10_000):
        value = [value]
    assert json_text(value) == "[" * 10_000 + '"x"' + "]" * 10_000


@pytest.mark.parametrize("literal", ["1e400", "-1E+999", "9" * 400 + ".0"])
@pytest.mark.parametrize("keep", [True, False])
def test_a_number_too_large_for_a_float_is_refused(literal, keep):
    with pytest.raises(RowError, match="is too large for a number"):
        decode_whole(f'{{"a": {literal}}}', keep_numbers=keep)
