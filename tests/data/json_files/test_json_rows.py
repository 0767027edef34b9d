from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.data.json_files import rows as json_rows
from deepseek_ocr.data.json_files.rows import Row, read_array, read_lines, read_object, read_text
from deepseek_ocr.data.problems import Problem

values = st.dictionaries(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
    | st.integers()
    | st.lists(st.booleans(), max_size=3),
    max_size=4,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("b")


def rows_of(read, tmp_path, content: bytes):
    path = tmp_path / "f"
    path.write_bytes(content)
    return list(read(path, "f"))


def shown(rows):
    return [(r.line, r.value) if isinstance(r, Row) else str(r) for r in rows]


@given(st.lists(values, max_size=6), st.sampled_from([None, 1]), st.booleans())
def test_arrays_come_back_with_the_line_of_each_row(folder, rows, indent, ascii_only):
    text = json.dumps(rows, indent=indent, ensure_ascii=ascii_only)
    found = rows_of(read_array, folder, text.encode())
    assert [row.value for row in found] == rows
    for row in found:
        assert text.split("\n")[row.line - 1].lstrip(" ,[").startswith("{")


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 64])
def test_arrays_are_read_alike_whatever_the_size_of_a_piece(tmp_path, monkeypatch, piece):
    monkeypatch.setattr(json_rows, "PIECE_BYTES", piece)
    text = (
        '\ufeff[\n{"text": "ä€😀 \\u00e4"},\n\n {"a": [1, {"b": "}]"}]}, 12, "x",\n{"c": -1.5e3}]\n'
    )
    assert shown(rows_of(read_array, tmp_path, text.encode())) == [
        (2, {"text": "ä€😀 ä"}),
        (4, {"a": [1, {"b": "}]"}]}),
        "f:4 (row 3): expected an object {...}, found a number",
        "f:4 (row 4): expected an object {...}, found a string",
        (5, {"c": -1500.0}),
    ]


@pytest.mark.parametrize(
    "content, line, reason",
    [
        (b"", 1, "expected a JSON array"),
        (b"  \n", 2, "expected a JSON array"),
        (b'{"a": 1}', 1, "expected a JSON array"),
        (b"[", 1, "not valid JSON"),
        (b'[{"a": 1}', 1, "expected , or ]"),
        (b'[{"a": 1}\n {"b": 2}]', 2, "expected , or ]"),
        (b'[{"a": 1},\n]', 2, "not valid JSON"),
        (b'[{"a": 1},\n{"b": "open', 2, "not valid JSON"),
        (b'[{"a": 1}]\n]', 2, "more follows"),
        (b'[{"a": 1},\n{"b": "\xff"}]', 2, "not UTF-8"),
        (b'[{"a": 1}\n\n\xff]', 3, "not UTF-8"),
        (b'[{"a": 1},\n{"a": 1, "a": 2}]', 2, "'a' is given twice"),
        (b'[{"a": NaN}]', 1, "NaN is not valid JSON"),
        (b'[{"a": -Infinity}]', 1, "-Infinity is not valid JSON"),
        (b'[{"a": "x\0y"}]', 1, "not valid JSON"),
        (b"\0", 1, "expected a JSON array"),
        (b'[{"a": "\\u0000"}]', 1, "a null character"),
        (b'[{"a": "\\ud83d"}]', 1, "half of a surrogate pair"),
        (b'[{"a":' + b"[" * 100_000, 1, "nested too deeply"),
        (b'[{"a":' + b"[" * 900 + b'"\\ud800"' + b"]" * 900 + b"}]", 1, None),
        (b'[{"a": ' + b"9" * 5000 + b"}]", 1, "too many digits"),
        ("[1]".encode("utf-16"), 1, "not UTF-8"),
    ],
)
def test_a_bad_array_is_a_problem_with_its_line(tmp_path, content, line, reason):
    problems = [r for r in rows_of(read_array, tmp_path, content) if isinstance(r, Problem)]
    assert len(problems) == 1
    assert problems[0].source == f"f:{line}"
    assert reason is None or reason in problems[0].reason


def test_rows_before_and_after_a_faulty_one_are_read(tmp_path):
    rows = rows_of(read_array, tmp_path, b'[{"a": 1}, {"b": NaN}, {"c": 3}]')
    assert [isinstance(row, Problem) for row in rows] == [False, True, False]
    lines = rows_of(read_lines, tmp_path, b'{"a": 1}\n\n{"b": \n\xff\n{"c": 3}\r\n{"d": 4}')
    assert shown(lines) == [
        (1, {"a": 1}),
        "f:3: not valid JSON (expecting value, column 7)",
        "f:4: not UTF-8; save the file in UTF-8",
        (5, {"c": 3}),
        (6, {"d": 4}),
    ]


@pytest.mark.parametrize("read", [read_array, read_lines])
def test_a_row_that_is_too_long_is_refused_and_not_held(tmp_path, monkeypatch, read):
    monkeypatch.setattr(json_rows, "MAX_ROW_BYTES", 1000)
    monkeypatch.setattr(json_rows, "PIECE_BYTES", 100)
    opening, closing = (b"[", b"]") if read is read_array else (b"", b"\n")
    content = opening + b'{"a": "' + b"x" * 5000 + b'"}' + closing
    rows = rows_of(read, tmp_path, content)
    assert len(rows) == 1 and rows[0].kind == "row too long"


@pytest.mark.parametrize("num_lists", [5000, 50_000])
def test_a_long_row_is_decoded_once_it_is_whole_and_not_at_all_if_too_long(
    tmp_path, monkeypatch, num_lists
):
    monkeypatch.setattr(json_rows, "MAX_ROW_BYTES", 100_000)
    monkeypatch.setattr(json_rows, "PIECE_BYTES", 1000)
    monkeypatch.setattr(json_rows, "TRIED_SIZE", 5000)
    sizes = []

    def decode_value(text, position, **options):
        sizes.append(len(text) - position)
        return decode(text, position, **options)

    decode = json_rows.decode_value
    monkeypatch.setattr(json_rows, "decode_value", decode_value)
    (row,) = rows_of(read_array, tmp_path, b'[{"a": [' + b"[]," * num_lists + b"1]}]")
    whole = num_lists * 3 < 100_000
    assert isinstance(row, Row) if whole else row.kind == "row too long"
    assert len([size for size in sizes if size > 6000]) == (1 if whole else 0) and len(sizes) <= 3


def test_lines_after_one_that_is_too_long_keep_their_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(json_rows, "MAX_ROW_BYTES", 10)
    rows = rows_of(read_lines, tmp_path, b"x" * 100 + b'\n{"a": 1}\n')
    assert rows[1] == Row(2, {"a": 1})


def test_one_object_has_the_line_of_its_fault(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b'\xef\xbb\xbf\n{"a":\n 1}\n')
    assert read_object(path, "f") == Row(1, {"a": 1})
    path.write_bytes(b'{"a": 1,\n "b" 2}')
    assert str(read_object(path, "f")).startswith("f:2: not valid JSON")
    path.write_bytes(b'{"a": 1}\n{}')
    assert str(read_object(path, "f")).startswith("f:2: not valid JSON (more")


def test_text_is_kept_as_written_and_must_be_utf8(tmp_path):
    path = tmp_path / "f"
    path.write_bytes("\ufeffä\r\nb\n".encode())
    assert read_text(path, "f") == "ä\r\nb\n"
    path.write_bytes(b"a\n\xe4\n")
    assert str(read_text(path, "f")) == "f:2: not UTF-8; save the file in UTF-8"


def test_a_file_that_cannot_be_opened_is_a_problem(tmp_path):
    for found in (
        read_object(tmp_path, "f"),
        read_text(tmp_path / "none", "f"),
        *read_array(tmp_path, "f"),
        *read_lines(tmp_path / "none", "f"),
    ):
        assert isinstance(found, Problem) and found.kind == "unreadable file"


@given(st.binary(max_size=60))
def test_no_bytes_make_a_reader_raise(folder, content):
    for read in (read_array, read_lines):
        for start in (b"", b"[", b'[{"a": "', b'{"a": "'):
            rows_of(read, folder, start + content)


def test_rows_that_share_a_line_are_numbered(tmp_path):
    rows = rows_of(read_array, tmp_path, b'[{"a": 1}, {"a": 2},\n{"a": 3}, 4, {"a": 5}\n,{"a": 6}]')
    places = [row.place if isinstance(row, Row) else row.source for row in rows]
    assert places == ["1 (row 1)", "1 (row 2)", "2 (row 3)", "f:2 (row 4)", "2 (row 5)", "3"]


def test_rows_before_a_syntax_error_are_read(tmp_path):
    rows = rows_of(read_array, tmp_path, b'[{"a": 1}, {"a": 2} {"a": 3}]')
    assert [isinstance(row, Problem) for row in rows] == [False, False, True]
