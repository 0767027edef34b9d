"""What finding the format reads: each file once for all readers, and not far."""

from __future__ import annotations

import io
import json
from collections import Counter

import pytest

from deepseek_ocr.data.folder import DatasetFolder
from deepseek_ocr.data.formats import _first_rows, choose_reader, readers
from deepseek_ocr.data.formats._first_rows import first_rows
from deepseek_ocr.data.json_files import rows as json_rows
from deepseek_ocr.data.json_files.allowance import Allowance
from deepseek_ocr.data.json_files.rows import Row

from .folders import detected, make, samples


@pytest.fixture
def decoded(monkeypatch):
    """How many characters of JSON are decoded."""
    sizes = []
    decode = json_rows.decode_value

    def decode_value(text, position, **options):
        value, end = decode(text, position, **options)
        sizes.append(end - position)
        return value, end

    monkeypatch.setattr(json_rows, "decode_value", decode_value)
    return sizes


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl", "a.json"])
def test_all_readers_together_decode_the_first_rows_of_a_file_once(tmp_path, decoded, name):
    row = json.dumps({"image": "a.png", "text": "ok", "more": [[]] * 1000})
    content = {"rows.json": f"[{row}]", "rows.jsonl": row, "a.json": row}[name]
    folder = DatasetFolder(make(tmp_path, {"a.png": None, name: content}))
    choose_reader(folder)
    whole = [size for size in decoded if size == len(row)]
    assert len(whole) == 1
    assert not folder.beginnings  # kept while the format was found, and no longer


def test_no_file_is_opened_by_each_reader_to_tell_a_list_from_an_object(tmp_path, monkeypatch):
    folder = DatasetFolder(make(tmp_path, {f"{n}.json": {"a": n} for n in range(30)}))
    opened = Counter()
    first_character = json_rows.first_character

    def counted(path):
        opened[path.name] += 1
        return first_character(path)

    monkeypatch.setattr("deepseek_ocr.data.folder.first_character", counted)
    monkeypatch.setattr("deepseek_ocr.data.formats._containers.first_character", counted)
    for reader in readers().values():
        reader.detect(folder)
    assert set(opened.values()) == {1}


def test_long_rows_are_not_read_to_find_the_format_and_their_dataset_is_read_all_the_same(
    tmp_path, monkeypatch, decoded
):
    monkeypatch.setattr(_first_rows, "FILE_BYTES", 1000)
    row = {"image": "a.png", "conversations": [{"from": "human", "value": "<image>Q"}]}
    row["conversations"].append({"from": "gpt", "value": "x" * 5000})
    for name, content in (("json/r.json", [row]), ("jsonl/r.jsonl", row)):
        make(tmp_path, {f"{name.split('/')[0]}/a.png": None, name: content})
    for place in ("json", "jsonl"):
        assert detected(tmp_path / place) == place
        assert not [size for size in decoded if size > 1000]
        assert samples(tmp_path / place)[0].text == "x" * 5000
        decoded.clear()


def test_what_is_read_of_a_whole_folder_is_limited_and_something_of_every_file(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(_first_rows, "FILE_BYTES", 3000)
    monkeypatch.setattr(_first_rows, "FOLDER_BYTES", 8000)
    line = json.dumps({"image": "a.png", "text": "x" * 150}) + "\n"
    root = make(tmp_path, {f"{n}.jsonl": line * 1000 for n in range(4)})
    folder = DatasetFolder(root)
    good = [sum(isinstance(row, Row) for row in first_rows(folder, file)) for file in folder.files]
    assert good == sorted(good, reverse=True) and good[0] > good[-1] > 0
    assert sum(known.num_bytes for known in folder.beginnings.values()) <= 8000


def test_a_file_seems_to_end_where_the_allowance_does():
    allowance = Allowance(5)
    assert allowance.of(io.BytesIO(b"a\nbcdefg\n")).readlines() == [b"a\n", b"bcd"]
    assert allowance.left == 0
