"""Answers that are there already are scored without a model, and every row keeps its row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deepseek_ocr.errors import UsageError, UserError
from deepseek_ocr.evaluation.config import TestConfig
from deepseek_ocr.evaluation.predictions import write_predictions
from deepseek_ocr.evaluation.rescoring import answers_sha256, given_rows

from .samples import annotations, scored

TRUTHS = ["a cat", "sat on", "the mat"]


def write_rows(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_rows_written_by_a_test_are_read_as_they_were(tmp_path):
    rows = [
        scored("a cut", "a cat", number=0, status="truncated", reason="no end within 8 tokens"),
        scored("", "sat on", number=1, status="failed", reason="no memory"),
        scored("\ud800\x00 {1}", "the mat", number=2),
    ]
    write_predictions(tmp_path / "predictions.jsonl", rows)
    for source in (tmp_path, tmp_path / "predictions.jsonl"):
        assert [row.to_json() for row in given_rows(source, None, None)] == [
            row.to_json() for row in rows
        ]


def test_rows_are_matched_by_id_and_missing_ones_have_failed(tmp_path, capsys):
    source = write_rows(
        tmp_path / "other.jsonl",
        {"id": "row-2", "prediction": "the mat"},
        {"id": "row-9", "prediction": "unasked"},
        {"id": "row-0", "prediction": "  "},
    )
    rows = given_rows(source, annotations(TRUTHS), None)
    assert [row.annotation.id for row in rows] == ["row-0", "row-1", "row-2"]
    assert [row.result.status for row in rows] == ["empty", "failed", "ok"]
    assert (rows[1].score.char_errors, rows[1].prediction) == (len("sat on"), "")
    assert "no row with this id" in rows[1].result.reason
    assert "1 of 3 rows" in capsys.readouterr().err


def test_the_test_files_truth_counts_where_there_is_one(tmp_path):
    row = {"id": "row-0", "prediction": "a cat", "text": "another truth", "num_text_tokens": 3}
    source = write_rows(tmp_path / "p.jsonl", row)
    (with_file,) = given_rows(source, annotations(TRUTHS[:1]), None)
    (alone,) = given_rows(source, None, None)
    assert (with_file.score.exact, with_file.facts.num_text_tokens) == (True, None)
    assert (alone.truth, alone.facts.num_text_tokens) == ("another truth", 3)


def test_a_folder_of_markdown_files_is_read_by_id(tmp_path):
    rows = annotations(TRUTHS)
    object.__setattr__(rows[1], "id", "b/page.png")
    object.__setattr__(rows[2], "id", "../outside")
    (tmp_path / "answers" / "b").mkdir(parents=True)
    (tmp_path / "answers" / "row-0.md").write_text("a cat")
    (tmp_path / "answers" / "b" / "page.md").write_text("sat on")
    (tmp_path / "outside.md").write_text("the mat")
    read = given_rows(tmp_path / "answers", rows, None)
    assert [row.result.status for row in read] == ["ok", "ok", "failed"]
    assert all(row.score.exact for row in read[:2])


def test_a_file_without_the_ids_suffix_answers_one_row_alone(tmp_path):
    rows = annotations(TRUTHS)
    for row, name in zip(rows, ("scan.1", "scan.2", "page.png"), strict=True):
        object.__setattr__(row, "id", name)
    (tmp_path / "scan.md").write_text("a cat")
    (tmp_path / "page.md").write_text("the mat")
    read = given_rows(tmp_path, rows, None)
    assert [row.result.status for row in read] == ["failed", "failed", "ok"]


@pytest.mark.parametrize("name", [".", "..", "", "a\0b", "x" * 300, "\ud800", "/row-0", "b/"])
def test_an_id_that_no_file_can_have_fails_its_row_alone(tmp_path, name):
    rows = annotations(TRUTHS[:2])
    object.__setattr__(rows[1], "id", name)
    (tmp_path / "row-0.md").write_text("a cat")
    read = given_rows(tmp_path, rows, None)
    assert [row.result.status for row in read] == ["ok", "failed"]


def test_answers_are_known_by_a_sum_of_their_files(tmp_path):
    folder, single = tmp_path / "answers", tmp_path / "p.jsonl"
    (folder / "b").mkdir(parents=True)
    (folder / "a.md").write_text("a cat")
    sums = [answers_sha256(folder)]
    (folder / "b" / "c.md").write_text("sat on")
    sums.append(answers_sha256(folder))
    (folder / "b" / "c.md").rename(folder / "b" / "d.md")
    sums.append(answers_sha256(folder))
    single.write_text("{}")
    sums.append(answers_sha256(single))
    assert len(set(sums)) == 4
    single.rename(folder / "predictions.jsonl")
    assert answers_sha256(folder) == sums[3]


def test_of_files_nobody_knows_how_their_answers_ended(tmp_path):
    (tmp_path / "row-0.md").write_text("a cat")
    answered, missing = given_rows(tmp_path, annotations(TRUTHS[:2]), None)
    assert (answered.is_status_assumed, missing.is_status_assumed) == (True, False)


def test_the_mark_that_some_editors_begin_a_file_with_is_no_part_of_it(tmp_path):
    (tmp_path / "row-0.md").write_text("a cat", encoding="utf-8-sig")
    line = json.dumps({"id": "row-0", "prediction": "a cat"})
    (tmp_path / "p.jsonl").write_text(line, encoding="utf-8-sig")
    for source in (tmp_path, tmp_path / "p.jsonl"):
        (row,) = given_rows(source, annotations(TRUTHS[:1]), None)
        assert row.score.exact


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no answers"),
        ("{}\n", "p.jsonl:1: 'id': expected a string"),
        ('{"id": "a", "prediction": null}\n', "p.jsonl:1: 'prediction': expected a string"),
        ('{"id": "a", "prediction": ""}\n' * 2, "p.jsonl:2: the id 'a' is already that of"),
        ('{"id": "a", "prediction": "x"}\n', "p.jsonl:1: no 'text', the truth"),
        ('\n{"id": "a"', "p.jsonl:2: not valid JSON"),
        ('{"id": ' + "[" * 100_000, "p.jsonl:1: not valid JSON"),
        ("[" * 100_000, "p.jsonl:1: a JSON array; expected JSON Lines"),
        ('{"id": "a", "prediction": "", "text": 3}', "p.jsonl:1: 'text': expected a string"),
        ('{"id": "a", "prediction": "", "text": "", "status": "good"}', "'status' is 'good'"),
        ('{"id": "a", "prediction": "", "text": "", "images": "a.png"}', "'images': expected a"),
        ('{"id": "a", "prediction": "", "text": "", "regions": [{}]}', "'box' of a region"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, content, message):
    (tmp_path / "p.jsonl").write_text(content)
    with pytest.raises(UserError) as error:
        given_rows(tmp_path / "p.jsonl", None, None)
    assert message in str(error.value)


def test_figures_that_do_not_fit_are_left_out(tmp_path):
    odd = {"num_tokens": -1, "num_tiles": True, "seconds": float("nan"), "page_sizes": [[0, "x"]]}
    row = {"id": "a", "prediction": "x", "text": "x", "group": 3, "lang": ["de"], **odd}
    (read,) = given_rows(write_rows(tmp_path / "p.jsonl", row), None, None)
    assert (read.result.num_tokens, read.result.seconds, read.facts.num_tiles) == (0, 0.0, None)
    assert (read.annotation.group, read.annotation.lang, read.facts.page_sizes) == (None,) * 3


def test_a_time_that_no_float_holds_is_left_out(tmp_path):
    (tmp_path / "p.jsonl").write_text(
        '{"id": "a", "prediction": "", "text": "", "seconds": 1' + 400 * "0" + "}"
    )
    (row,) = given_rows(tmp_path / "p.jsonl", None, None)
    assert row.result.seconds == 0


def test_answers_to_other_rows_are_refused(tmp_path):
    source = write_rows(tmp_path / "p.jsonl", {"id": "x", "prediction": "y"})
    with pytest.raises(UserError, match="none of its 1 ids is in the test file"):
        given_rows(source, annotations(TRUTHS), None)
    with pytest.raises(UserError, match="holds no answer"):
        given_rows(tmp_path, annotations(TRUTHS), None)
    with pytest.raises(UserError, match="a folder of answers has no truths"):
        given_rows(tmp_path, None, None)


@pytest.mark.parametrize(
    "setting",
    [{"mode": "tiny"}, {"adapter": Path("a")}, {"max_new_tokens": 5}, {"dtype": "bfloat16"}],
)
def test_settings_of_a_model_are_refused_with_answers_that_are_there(setting):
    with pytest.raises(UsageError, match=f"leave --{next(iter(setting))} out"):
        TestConfig(data_root=Path("d"), output_dir=Path("o"), from_predictions=Path("p"), **setting)
