from __future__ import annotations

import json

import pytest

from deepseek_ocr.data.annotations import Region
from deepseek_ocr.data.truth.structures import Cell, Table

from .folders import detected, make, only, problems, reasons, samples

TAGS = ["<thead>", "<tr>", "<td", ' colspan="2"', ">", "</td>", "</tr>", "</thead>",
        "<tbody>", "<tr>", "<td>", "</td>", "<td>", "</td>", "</tr>", "</tbody>"]  # fmt: skip
CELLS = [
    {"tokens": ["<b>", "a", "<", "b", "</b>"], "bbox": [1, 2, 30, 9]},
    {"tokens": ["x", "<sup>", "2", "</sup>"], "bbox": [1, 12, 9, 19]},
    {"tokens": []},
]


def row(filename="t.png", tags=TAGS, cells=CELLS, **more):
    html = {"structure": {"tokens": tags}, "cells": cells}
    return {"filename": filename, "split": "train", "imgid": 1, "html": html, **more}


def table(tmp_path, *rows, pictures=("t.png",)):
    lines = "".join(json.dumps(value) + "\n" for value in rows)
    return make(tmp_path, {**dict.fromkeys(pictures), "PubTabNet.jsonl": lines})


@pytest.mark.parametrize("picture", ["t.png", "train/t.png"])
def test_tags_and_cells_become_html_a_table_and_regions(tmp_path, picture):
    sample = only(table(tmp_path, row(), pictures=[picture]))
    assert detected(tmp_path) == "pubtabnet"
    assert sample.images == (picture,) and sample.source == "PubTabNet.jsonl:1"
    assert sample.text == (
        '<table><thead><tr><td colspan="2"><b>a&lt;b</b></td></tr></thead>'
        "<tbody><tr><td>x<sup>2</sup></td><td></td></tr></tbody></table>"
    )
    assert sample.structure == (
        Table(
            cells=(
                Cell(row=0, column=0, text="a<b", column_span=2, is_header=True),
                Cell(row=1, column=0, text="x2"),
                Cell(row=1, column=1, text=""),
            )
        ),
    )
    assert sample.regions == (
        Region(label="cell", box=(1, 2, 30, 9), text="a<b"),
        Region(label="cell", box=(1, 12, 9, 19), text="x2"),
    )
    assert sample.attributes == {"split": "train"}


def test_a_token_that_is_no_tag_as_a_whole_is_text_however_long(tmp_path):
    texts = [["<b>", "AT&T", "</b>"], ["fi <x", ">"], ["p ", "<0.05>"]]
    cells = [{"tokens": tokens, "bbox": [1, 2, 30, 9]} for tokens in texts]
    sample = only(table(tmp_path, row(cells=cells)))
    assert [region.text for region in sample.regions] == ["AT&T", "fi <x>", "p <0.05>"]
    assert "<b>AT&amp;T</b>" in sample.text and "fi &lt;x&gt;" in sample.text
    table_found = sample.structure[0]
    assert [cell.text for cell in table_found.cells] == ["AT&T", "fi <x>", "p <0.05>"]


@pytest.mark.parametrize(
    "bad, kind, reason",
    [
        (row(cells=CELLS[:2]), "bad value", "3 </td> in the structure, but 2 cells"),
        (row(tags="<td>"), "bad value", "'html.structure.tokens': expected a list of strings"),
        (row(cells=[3]), "bad value", "'html.cells': expected a list of objects"),
        (row(html=None), "bad value", "'html.structure.tokens': expected a list of strings"),
        (row(cells=[*CELLS[:2], {"tokens": [], "bbox": [1]}]), "bad value", "'bbox' of cell 3: "),
        (row("none.png"), "annotation without picture", "the picture none.png does not exist"),
        (row("../t.png"), "bad path", "../t.png: leads out"),
        (row(3), "annotation without picture", "no 'filename'; expected a picture"),
    ],
)
def test_a_bad_table_is_a_problem_of_its_line(tmp_path, bad, kind, reason):
    table(tmp_path, row(), bad)
    assert problems(tmp_path, "pubtabnet") == [(kind, "PubTabNet.jsonl:2")]
    assert reasons(tmp_path, "pubtabnet")[0].startswith(reason)


def test_real_tables_are_ten_samples(shared):
    found = {s.images[0]: s for s in samples(shared / "data" / "pubtabnet_tables")}
    assert len(found) == 10
    head = "<td><b>Trait</b></td><td><b>Number of Phenotypes</b></td><td><b>Mean</b></td>"
    assert found["PMC2753619_002_00.png"].text == (
        f"<table><thead><tr>{head}<td><b>Standard Deviation</b></td><td><b>Minimum</b></td>"
        "<td><b>Maximum</b></td></tr></thead><tbody><tr><td>SCS</td><td>1058</td><td>- 0.1024</td>"
        "<td>0.383</td><td>-1.211</td><td>1.072</td></tr></tbody></table>"
    )
    rows = found["PMC3907710_006_00.png"].text.split("<tr>")
    assert rows[3] == "<td>2</td><td>[0, 1, 0]</td><td>[1, 0, 1, 0]</td><td>0.5</td><td>3</td></tr>"
    poverty = found["PMC5332562_005_00.png"].structure[0]
    assert isinstance(poverty, Table)
    texts = {(cell.row, cell.column): (cell.text, cell.row_span) for cell in poverty.cells}
    assert texts[0, 2] == ("r2", 1) and texts[2, 0] == ("DHS WI", 3)
    assert texts[4, 1] == ("RS", 1) and texts[5, 0] == ("PPI", 3)
