"""Aggregate scores: true to the rows, in any order, and valid JSON."""

from __future__ import annotations

import json
import math
import random

import pytest

from deepseek_ocr.evaluation.summary import headline, summarize, write_summary
from deepseek_ocr.metrics.normalization import REPORTED

from .samples import scored

ROWS = [
    scored("a cat", "a cat", number=0),
    scored("A CAT", "a cat", number=1),
    scored("a  cat.", "a cat", number=2),
    scored("", "a cat", number=3, status="failed", reason="no memory"),
    scored("", "a cat", number=4, status="empty"),
    scored("a cat " * 9, "a cat", number=5, status="repetition"),
    scored("ab", "", number=6),
]


def test_scores_of_known_rows():
    summary = summarize(ROWS, seed=0)
    cer = summary["scores"]["raw"]["cer"]
    errors = [0, 4, 2, 5, 5, 49, 2]
    assert cer["errors"] == sum(errors)
    assert cer["micro"] == pytest.approx(sum(errors) / 30)
    assert cer["macro"] == pytest.approx(sum(errors[:6]) / 30)
    assert cer["median"] == pytest.approx(0.9)
    assert cer["share_above_1"] == pytest.approx(1 / 6)
    assert summary["num_empty_truths"] == cer["num_empty_truths"] == 1
    assert summary["scores"]["raw"]["exact"] == {
        "count": 1,
        "rate": pytest.approx(1 / 7),
        "interval": summary["scores"]["raw"]["exact"]["interval"],
    }


def test_every_normalisation_stands_beside_raw():
    scores = summarize(ROWS, seed=0)["scores"]
    assert tuple(scores) == REPORTED
    assert scores["case"]["exact"]["count"] == 2
    assert scores[REPORTED[-1]]["exact"]["count"] == 3


def test_statuses_are_counted_and_their_rates_add_up():
    statuses = summarize(ROWS, seed=0)["statuses"]
    counts = {status: entry["count"] for status, entry in statuses.items()}
    assert counts == {"ok": 4, "empty": 1, "failed": 1, "truncated": 0, "repetition": 1}
    assert math.fsum(entry["rate"] for entry in statuses.values()) == pytest.approx(1)


def test_a_shuffled_test_file_has_the_same_scores():
    chance = random.Random(0)
    rows = [
        scored("x" * chance.randrange(9) + "é", "xxxx é"[: chance.randrange(7)], number=n)
        for n in range(60)
    ]
    shuffled = random.Random(1).sample(rows, len(rows))
    assert summarize(shuffled, seed=3) == summarize(rows, seed=3)


@pytest.mark.parametrize("rows", [ROWS, ROWS[:1], ROWS[-1:], ROWS[3:4]])
def test_a_summary_is_strict_json(tmp_path, rows):
    summary = summarize(rows, seed=0)
    write_summary(tmp_path / "metrics.json", summary)
    read = json.loads((tmp_path / "metrics.json").read_text())
    assert json.dumps(read) == json.dumps(summary)
    assert headline(summary)["num_failed"] == sum(r.result.status == "failed" for r in rows)
