"""Two tests side by side: the same rows, judged alike, with paired differences."""

from __future__ import annotations

import dataclasses
import json

import pytest

from deepseek_ocr.errors import UserError
from deepseek_ocr.evaluation.comparison import check_shares_rows, compare, read_other
from deepseek_ocr.evaluation.predictions import write_predictions
from deepseek_ocr.evaluation.summary import summarize, write_summary

from .samples import annotations, scored

TRUTHS = [f"the truth of row {n}" for n in range(20)]


def write_test(folder, rows, **run):
    folder.mkdir()
    write_predictions(folder / "predictions.jsonl", rows)
    write_summary(folder / "metrics.json", {"run": run, **summarize(rows, seed=0)})
    return folder


def rows_with(num_errors, truths=TRUTHS):
    return [scored("#" * num_errors + t[num_errors:], t, number=n) for n, t in enumerate(truths)]


def test_a_better_run_is_told_from_a_worse_one(tmp_path):
    other = read_other(write_test(tmp_path / "base", rows_with(6), model_path="runs/base"))
    found = compare(rows_with(2), other, seed=0)
    length = sum(map(len, TRUTHS))
    assert (found["name"], found["num_rows"], found["only_here"], found["only_there"]) == (
        "runs/base", 20, 0, 0,
    )  # fmt: skip
    assert found["cer"]["this"] == pytest.approx(2 * 20 / length)
    assert found["cer"]["other"] == pytest.approx(6 * 20 / length)
    assert found["cer"]["difference"] == pytest.approx(-4 * 20 / length, abs=1e-5)
    low, high = found["cer"]["interval"]
    assert low <= found["cer"]["difference"] <= high < 0
    assert found["cer"]["p_value"] < 0.01
    assert found["similarity"]["difference"] > 0


def test_a_run_against_itself_differs_in_nothing(tmp_path):
    other = read_other(write_test(tmp_path / "same", rows_with(3)))
    found = compare(rows_with(3), other, seed=0)
    for name in ("cer", "wer", "similarity"):
        assert (found[name]["difference"], found[name]["p_value"]) == (0, 1)


def test_rows_that_one_run_alone_has_are_counted(tmp_path):
    other = read_other(write_test(tmp_path / "fewer", rows_with(3)[5:]))
    found = compare(rows_with(3)[:15], other, seed=0)
    assert (found["num_rows"], found["only_here"], found["only_there"]) == (10, 5, 5)


def test_the_other_answers_are_judged_by_this_tests_truths(tmp_path):
    wrong_truths = [scored(truth, "wrong", number=n) for n, truth in enumerate(TRUTHS)]
    other = read_other(write_test(tmp_path / "other", wrong_truths))
    assert compare(rows_with(1), other, seed=0)["cer"]["other"] == 0


def test_the_order_of_rows_changes_nothing(tmp_path):
    other = read_other(write_test(tmp_path / "other", rows_with(3)[::-1]))
    assert compare(rows_with(1), other, seed=0) == compare(rows_with(1)[::-1], other, seed=0)


def test_a_folder_that_is_no_finished_test_is_refused(tmp_path):
    with pytest.raises(UserError, match="expected the output folder of a finished test"):
        read_other(tmp_path)
    for content in ("[]", "{", json.dumps({"scores": {"raw": 1}})):
        (tmp_path / "metrics.json").write_text(content)
        with pytest.raises(UserError, match=r"not the metrics\.json of a test"):
            read_other(tmp_path)


def test_a_test_of_other_rows_is_refused(tmp_path):
    other = read_other(write_test(tmp_path / "other", rows_with(1)[10:]))
    with pytest.raises(UserError, match="none of its 10 rows has an id of this test's"):
        check_shares_rows(annotations(TRUTHS[:10]), other)


def test_a_test_of_other_pages_with_the_same_ids_is_refused(tmp_path):
    other = read_other(write_test(tmp_path / "other", rows_with(1)))
    strangers = [
        dataclasses.replace(row, images=(f"other-{row.id}.png",))
        for row in annotations(TRUTHS[::-1])
    ]
    with pytest.raises(UserError, match="other pictures and other truths"):
        check_shares_rows(strangers, other)


def test_truths_that_were_corrected_since_are_announced(tmp_path, capsys):
    other = read_other(write_test(tmp_path / "other", rows_with(1)))
    corrected = annotations([*TRUTHS[:-1], "another truth"])
    check_shares_rows(annotations(TRUTHS), other)
    assert capsys.readouterr().err == ""
    check_shares_rows(corrected, other)
    assert "1 of 20 rows had another truth" in capsys.readouterr().err
