"""Readers of labels meet arbitrary values: they report, and never raise."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_ocr.data.annotations import Annotation
from deepseek_ocr.data.folder import DatasetFolder
from deepseek_ocr.data.formats import readers
from deepseek_ocr.data.problems import Problem

from .folders import make

KEYS = (
    *("form", "valid_line", "words", "quad", "text", "label", "linking", "id", "box", "category"),
    *("group_id", "row_id", "is_key", "gt_parse", "html", "structure", "tokens", "cells", "bbox"),
    *("filename", "split", "polygons", "typed_words", "value", "geometry", "transcription"),
    *("points", "key_cls", "x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4", "meta", "1.png"),
)

plain = (
    st.none()
    | st.booleans()
    | st.integers(-3, 30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["1.png", "</td>", "question", "answer", "menu.nm", "###", "", "a\tb"])
)
values = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
    ),
    max_leaves=20,
)
objects = st.dictionaries(st.sampled_from(KEYS), values, max_size=5)

FILES = {
    "funsd": ("1.json", lambda value: json.dumps({"form": [value]})),
    "cord": ("1.json", lambda value: json.dumps({"valid_line": [value]})),
    "fields": ("1.json", json.dumps),
    "sroie": ("1.txt", lambda value: "0,0,9,0,9,9,0,9," + json.dumps(value)),
    "doctr": ("labels.json", lambda value: json.dumps({"1.png": value})),
    "paddleocr": ("Label.txt", lambda value: f"1.png\t{json.dumps([value])}"),
    "pubtabnet": ("t.jsonl", lambda value: json.dumps({"filename": "1.png", "html": value})),
    "im2latex": ("train.lst", lambda value: f"0 1.png basic\n{json.dumps(value)}"),
    "txt": ("1.txt", json.dumps),
}


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """A folder with a picture for each reader, to which its file is written again and again."""
    files = {"1.png": None, "formulas.lst": "x\n"}
    return {name: make(tmp_path_factory.mktemp(name), files) for name in FILES}


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=100)
@given(value=objects)
def test_no_value_makes_a_reader_raise(roots, name, value):
    file, written = FILES[name]
    (roots[name] / file).write_text(written(value))
    folder = DatasetFolder(roots[name])
    detection = readers()[name].detect(folder)
    assert detection is None or 0 <= detection.score <= 1
    for found in readers()[name].read(folder):
        assert isinstance(found, Annotation | Problem)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"\xef\xbb\xbf",
        b"\t",
        b"1" * 9999,
    ],
)
def test_no_bytes_make_a_reader_raise(tmp_path, name, content):
    file, _ = FILES[name]
    make(tmp_path, {"1.png": None, file: content})
    folder = DatasetFolder(tmp_path)
    for reader in readers().values():
        reader.detect(folder)
    for found in readers()[name].read(folder):
        assert isinstance(found, Annotation | Problem)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("files", [{}, {"1.png": None}, {"a.bin": b"x"}])
def test_a_folder_without_its_files_makes_no_reader_raise(tmp_path, name, files):
    folder = DatasetFolder(make(tmp_path, files))
    assert readers()[name].detect(folder) is None
    assert all(isinstance(found, Problem) for found in readers()[name].read(folder))
