"""Parts of a test: each row in one part, and figures that are true to its rows."""

from __future__ import annotations

import dataclasses

import pytest

from deepseek_ocr.evaluation.breakdown import MAX_VALUES, breakdowns, length_of
from deepseek_ocr.evaluation.facts import PageFacts

from .samples import scored


def row(prediction, truth, number, *, tiles=None, **annotation):
    made = scored(prediction, truth, number=number)
    changed = dataclasses.replace(made.annotation, **annotation)
    return dataclasses.replace(made, annotation=changed, facts=PageFacts(num_tiles=tiles))


ROWS = [
    row("cat", "cat", 0, group="a", lang="en", tiles=0),
    row("cut", "cat", 1, group="a", lang="en", tiles=4),
    row("", "Katze", 2, group="b", lang="de", tiles=10),
    row("x" * 150, "x" * 150, 3, group="b", lang=None, tiles=4),
]


def test_every_row_is_in_one_part_of_each_breakdown():
    found = breakdowns(ROWS, seed=0)
    assert set(found) == {"group", "lang", "length", "tiles"}
    for parts in found.values():
        assert sum(part["num_rows"] for part in parts) == len(ROWS)


def test_parts_come_in_their_natural_order_and_the_unnamed_last():
    found = breakdowns(ROWS, seed=0)
    assert [part["value"] for part in found["tiles"]] == [0, 4, 10]
    assert [part["value"] for part in found["lang"]] == ["de", "en", None]
    assert [part["value"] for part in found["length"]] == ["1-99", "100-299"]


def test_figures_are_those_of_the_rows():
    german, english, _ = breakdowns(ROWS, seed=0)["lang"]
    assert (german["cer"]["micro"], german["exact"], german["failed"]) == (1.0, 0.0, 0)
    assert english["cer"]["micro"] == pytest.approx(1 / 6)
    assert (english["num_rows"], english["num_documents"]) == (2, 1)
    assert english["cer"]["interval"] is None  # of one document nothing can be said


def test_what_tells_no_rows_apart_is_left_out():
    assert "lang" not in breakdowns(ROWS[:2], seed=0)
    alone = [row("a", "a", n, group=f"g{n}") for n in range(3)]
    assert breakdowns(alone, seed=0) == {}


@pytest.mark.parametrize(
    "name",
    ["20240101-invoice.pdf", "20240101-receipts.png", "00001-invoice.png", "00001-lines.pdf"],
)
def test_a_name_that_is_only_like_a_drawn_documents_tells_no_kind(name):
    assert row("a", "a", 1, images=(name,)).kind is None


def test_the_kind_of_drawn_documents_is_in_their_name():
    rows = [
        row("a", "a", 0, source="drawn/00001-letters.json:1"),
        row("a", "a", 1, images=("00002-tables_p3.png",)),
        row("a", "a", 2, source="scan-letters.json:1"),
    ]
    assert [r.kind for r in rows] == ["letters", "tables", None]
    assert [part["value"] for part in breakdowns(rows, seed=0)["kind"]] == [
        "letters",
        "tables",
        None,
    ]


def test_of_very_many_groups_the_smallest_are_counted_together():
    rows = [row("a", "a", n, group=f"g{n // 2:04}") for n in range(2 * MAX_VALUES + 10)]
    parts = breakdowns(rows, seed=0)["group"]
    assert len(parts) == MAX_VALUES
    assert parts[-1]["value"] == "6 others"
    assert sum(part["num_rows"] for part in parts) == len(rows)


@pytest.mark.parametrize(
    ("length", "part"), [(0, "0"), (1, "1-99"), (99, "1-99"), (100, "100-299"), (10**4, "10000+")]
)
def test_a_truth_is_in_the_part_of_its_length(length, part):
    assert length_of(scored("", "x" * length)) == part
