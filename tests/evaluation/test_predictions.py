"""`predictions.jsonl`: one line a row, whatever a model wrote."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.evaluation.predictions import PredictionFile, json_line

from .samples import scored

ANY_TEXT = st.text(st.characters(exclude_categories=[]))  # with lone surrogates


@given(ANY_TEXT)
def test_a_row_is_one_line_of_utf8_that_reads_back_the_same(text):
    line = json_line({"prediction": text})
    assert len(line.splitlines()) == 1
    line.encode("utf-8")
    assert json.loads(line) == {"prediction": text}


def test_ordinary_characters_stay_readable():
    assert json_line({"text": "Größe 😀 شب"}) == '{"text": "Größe 😀 شب"}'


def test_rows_are_on_disk_as_they_are_added_and_in_order_at_the_end(tmp_path):
    rows = [scored(f"answer {n} \ud800\x00\u2028", "truth", number=n) for n in range(3)]
    file = PredictionFile(tmp_path)
    for row in reversed(rows):
        file.append(row)
        assert json.loads(file.path.read_text(encoding="utf-8").splitlines()[-1])
    file.finish(rows)
    written = [json.loads(line) for line in file.path.read_text(encoding="utf-8").splitlines()]
    assert written == [row.to_json() for row in rows]


def test_a_new_test_begins_an_empty_file(tmp_path):
    PredictionFile(tmp_path).append(scored("old", "truth"))
    assert PredictionFile(tmp_path).path.read_bytes() == b""
