from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import ipc, parquet

from deepseek_ocr.data.pages import held_rows
from deepseek_ocr.data.pages.held_rows import held_row
from deepseek_ocr.data.pages.references import Reference
from deepseek_ocr.errors import PageError


def ask(path: Path, **place: int):
    return held_row(path, Reference(path.name, **place))


def arrow_stream(path: Path, rows: list[dict], rows_a_batch: int = 3, **options) -> Path:
    table = pyarrow.Table.from_pylist(rows)
    with ipc.new_stream(path, table.schema, **options) as writer:
        writer.write_table(table, max_chunksize=rows_a_batch)
    return path


def arrow_file(path: Path, rows: list[dict]) -> Path:
    table = pyarrow.Table.from_pylist(rows)
    with ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=4)
    return path


def parquet_file(path: Path, rows: list[dict]) -> Path:
    parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=40)
    return path


def json_array(path: Path, rows: list[dict]) -> Path:
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    return path


ROWS = [{"n": n, "text": "ü" * (n % 7), "image": {"bytes": b"%d" % n}} for n in range(100)]


@pytest.mark.parametrize(
    "write, name",
    [
        (parquet_file, "a.parquet"),
        (arrow_stream, "a.arrow"),
        (arrow_file, "b.arrow"),
        (
            lambda path, rows: json_array(path, [r | {"image": {"bytes": "x"}} for r in rows]),
            "a.json",
        ),
    ],
)
def test_rows_are_found_by_number_in_any_order(tmp_path, write, name):
    path = write(tmp_path / name, ROWS)
    for number in (1, 100, 3, 4, 41, 40, 99, 2, 2):
        row = ask(path, row=number)
        assert (row["n"], row["text"]) == (number - 1, "ü" * ((number - 1) % 7))
    with pytest.raises(PageError, match=f"{name}#row=101: has no such row; it holds 100"):
        ask(path, row=101)


def test_parquet_columns_of_pictures_come_as_bytes(tmp_path):
    assert ask(parquet_file(tmp_path / "a.parquet", ROWS), row=8)["image"]["bytes"] == b"7"


@given(
    st.lists(
        st.dictionaries(st.text(max_size=4), st.text(max_size=40) | st.integers(), max_size=3),
        max_size=6,
    ),
    st.sampled_from([None, 1, 3]),
    st.booleans(),
)
def test_the_index_of_an_array_agrees_with_the_parser(tmp_path_factory, rows, indent, ascii):
    rows = [
        {k: v.replace("\0", "") if isinstance(v, str) else v for k, v in r.items()} for r in rows
    ]
    rows = [{k: v for k, v in r.items() if "\0" not in k} for r in rows]
    path = tmp_path_factory.mktemp("array") / "a.json"
    path.write_text(json.dumps(rows, indent=indent, ensure_ascii=ascii), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(held_rows, "PIECE_BYTES", 3)
        found = [ask(path, row=number) for number in range(1, len(rows) + 1)]
        assert found == rows
        with pytest.raises(PageError, match=f"it holds {len(rows)}"):
            ask(path, row=len(rows) + 1)


def test_row_groups_of_few_parquet_files_are_held_and_all_can_be_read(tmp_path, monkeypatch):
    paths = [parquet_file(tmp_path / f"{n}.parquet", ROWS) for n in range(9)]
    for number in (1, 60, 61, 2):
        assert {ask(path, row=number)["n"] for path in paths} == {number - 1}
    assert len(held_rows._ParquetRows.begun) == held_rows.GROUPS_HELD
    monkeypatch.setattr(held_rows, "MAX_GROUP_BYTES", 10)
    with pytest.raises(PageError, match="row_group_size=100"):
        ask(parquet_file(tmp_path / "large.parquet", ROWS), row=1)


def test_lines_are_counted_as_an_editor_counts_them(tmp_path, monkeypatch):
    monkeypatch.setattr(held_rows, "PIECE_BYTES", 4)
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"n": 1}\r\n\n  \n{"n": "\xc3\xbc"}\n{"n": 5}')
    assert [ask(path, line=n)["n"] for n in (1, 5, 4)] == [1, 5, "ü"]
    with pytest.raises(PageError, match="line=2"):
        ask(path, line=2)
    with pytest.raises(PageError, match=r"#line=6: has no such line; it holds 5"):
        ask(path, line=6)


@pytest.mark.parametrize(
    "name, content, place, reason",
    [
        ("a.json", b"", {"row": 1}, "ends too early"),
        ("a.json", b"\xef\xbb\xbf[]", {"row": 1}, "holds 0"),
        ("a.json", b'{"a": 1}', {"row": 1}, "expected a JSON array"),
        ("a.json", b'[{"a": 1} {"a": 2}]', {"row": 1}, "not valid JSON"),
        ("a.json", b'[{"a": 1}', {"row": 1}, "ends too early"),
        ("a.json", b'[{"a": 1', {"row": 1}, "not valid JSON"),
        ("a.json", b"[1, 2]", {"row": 2}, "expected an object"),
        ("a.json", b'[{"a": "\xff"}]', {"row": 1}, "not UTF-8"),
        ("a.json", b'[{"a": 1, "a": 2}]', {"row": 1}, "given twice"),
        ("a.json", b"[" * 100_000, {"row": 1}, "nested too deeply"),
        ("a.jsonl", b"{not json}\n", {"line": 1}, "not valid JSON"),
        ("a.jsonl", b"", {"line": 1}, "holds 0"),
        ("a.parquet", b"PAR1 no PAR1", {"row": 1}, "damaged"),
        ("a.parquet", b"", {"row": 1}, "damaged"),
        ("a.arrow", b"\xff\xff\xff\xff junk", {"row": 1}, "damaged"),
        ("a.arrow", b"ARROW1 no ARROW1", {"row": 1}, "damaged"),
    ],
)
def test_damaged_files_are_page_errors_that_name_the_row(tmp_path, name, content, place, reason):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(PageError, match=rf"^a\.\w+#(row|line)=\d: .*{reason}"):
        ask(path, **place)


@pytest.mark.parametrize("write, name", [(parquet_file, "a.parquet"), (arrow_stream, "a.arrow")])
def test_a_file_cut_short_anywhere_is_a_page_error_or_whole(tmp_path, write, name):
    whole = write(tmp_path / name, ROWS).read_bytes()
    for size in range(0, len(whole), max(1, len(whole) // 40)):
        path = tmp_path / f"{size}-{name}"
        path.write_bytes(whole[:size])
        try:
            assert ask(path, row=100)["n"] == 99
        except PageError as error:
            assert str(error).startswith(path.name)


def test_a_row_that_is_too_long_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(held_rows, "MAX_ROW_BYTES", 100)
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"a": "x" * 200}) + '\n{"a": 1}\n')
    with pytest.raises(PageError, match="MiB; split it"):
        ask(path, line=1)
    assert ask(path, line=2) == {"a": 1}


def test_compressed_arrow_files_are_read_when_small_and_refused_when_they_would_fill_memory(
    tmp_path, monkeypatch
):
    options = {"options": ipc.IpcWriteOptions(compression="lz4")}
    path = arrow_stream(tmp_path / "a.arrow", ROWS, **options)
    assert ask(path, row=50)["n"] == 49
    monkeypatch.setattr(held_rows, "MAX_COPIED_BYTES", 10)
    path = arrow_stream(tmp_path / "b.arrow", ROWS, **options)
    with pytest.raises(PageError, match="without compression"):
        ask(path, row=50)


def test_a_file_that_has_changed_is_read_anew(tmp_path):
    path = tmp_path / "a.jsonl"
    for n in (1, 2):
        path.write_text("\n" * n + json.dumps({"n": n}) + "\n")
        os.utime(path, ns=(n, n))
        assert ask(path, line=n + 1) == {"n": n}


def test_without_pyarrow_the_message_says_what_to_install(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    path.write_bytes(b"")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(PageError, match=r'pip install "deepseek-ocr\[parquet\]"'):
        ask(path, row=1)
