from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.data.json_files import rows as json_rows
from deepseek_ocr.data.json_files.members import Member, read_members
from deepseek_ocr.data.json_files.text_lines import read_text_lines
from deepseek_ocr.data.problems import CutShort, Problem


def members(tmp_path, content, read=read_members):
    path = tmp_path / "a.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read(path, "a.json"))


def test_members_come_one_by_one_with_their_lines(tmp_path):
    content = '\ufeff {"a": 1,\r\n\n "b": {"c":\n [2]}, "d": "x"}\n '
    assert members(tmp_path, content) == [
        Member(1, "a", 1),
        Member(3, "b", {"c": [2]}),
        Member(4, "d", "x"),
    ]


values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    content=st.dictionaries(st.text(max_size=4), values, max_size=6),
    indent=st.sampled_from([None, 0, 2]),
    piece_bytes=st.integers(1, 40),
)
def test_any_object_is_read_whatever_the_size_of_the_pieces(
    tmp_path_factory, content, indent, piece_bytes
):
    folder = tmp_path_factory.mktemp("members")
    whole = {key.replace("\0", ""): value for key, value in content.items()}
    text = json.dumps(whole, indent=indent, ensure_ascii=False).replace("\\u0000", "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_rows, "PIECE_BYTES", piece_bytes)
        found = members(folder, text.encode("utf-8", "replace"))
    expected = json.loads(text.encode("utf-8", "replace"))
    assert {member.key: member.value for member in found if isinstance(member, Member)} == expected
    assert not [problem for problem in found if isinstance(problem, Problem)]


@pytest.mark.parametrize(
    "content, where, reason",
    [
        ("", 1, "expected a JSON object: {...}"),
        ("[1]", 1, "expected a JSON object: {...}"),
        ('{"a": 1\n"b": 2}', 2, "not valid JSON (expected , or } after a value)"),
        ('{"a": 1,\n}', 2, 'not valid JSON (expected "key": value)'),
        ('{"a"\n 1}', 2, "not valid JSON (expected : after a key)"),
        ('{"a": 1}\n{', 2, "not valid JSON (more follows after its end)"),
        (
            '{"a": 1,\n"b": tru                    }',
            2,
            "not valid JSON (expecting value, column 6)",
        ),
        (b'{"a": 1,\n"b": "\xe9"}', 2, "not UTF-8; save the file in UTF-8"),
        ('{"a": 1,\n"b": ' + "[" * 100_000, 2, "nested too deeply; expected a flat object"),
    ],
)
def test_after_a_syntax_error_nothing_more_is_told_apart(tmp_path, content, where, reason):
    *_, last = members(tmp_path, content)
    assert last == CutShort(kind=last.kind, source=f"a.json:{where}", reason=reason)


def test_a_bad_value_does_not_hide_the_members_after_it(tmp_path):
    content = '{"a": NaN,\n"b": {"x": 1, "x": 2},\n"c": 1,\n"c": 2,\n"d": "\\ud800",\n"e": 3}'
    found = members(tmp_path, content)
    assert [(f.source, f.reason) for f in found if isinstance(f, Problem)] == [
        ("a.json:1", "NaN is not valid JSON; use a number or null"),
        ("a.json:2", "the key 'x' is given twice; keep one"),
        ("a.json:4", "the key 'c' is given twice; keep one"),
        ("a.json:5", "half of a surrogate pair in a text; write the character whole"),
    ]
    assert found[-1] == Member(6, "e", 3)


def test_lines_of_text_are_numbered_and_bad_ones_told(tmp_path):
    content = b"\xef\xbb\xbfa\r\n\n\xe9\nb"
    one, two, three, four = members(tmp_path, content, read_text_lines)
    assert (one, two, four) == ((1, "a"), (2, ""), (4, "b"))
    assert (three.kind, three.source) == ("not UTF-8", "a.json:3")


def test_a_line_that_is_too_long_is_a_problem(tmp_path, monkeypatch):
    monkeypatch.setattr(json_rows, "MAX_ROW_BYTES", 8)
    (long, short) = members(tmp_path, "x" * 20 + "\ny", read_text_lines)
    assert (long.kind, short) == ("row too long", (2, "y"))


@pytest.mark.parametrize("read", [read_members, read_text_lines])
def test_a_file_that_is_not_there_is_a_problem(tmp_path, read):
    (problem,) = read(tmp_path / "none", "none")
    assert (problem.kind, problem.source) == ("unreadable file", "none:1")
