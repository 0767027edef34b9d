from __future__ import annotations

import pytest

from deepseek_ocr.data.annotations import Region
from deepseek_ocr.data.formats import icdar2013
from deepseek_ocr.data.truth.structures import Cell, Table

from .folders import detected, make, only, problems, reasons, samples


def cell(text, row, column, *, rows=1, columns=1, box="1 2 3 4"):
    end = (
        f" end-row='{row + rows - 1}' end-col='{column + columns - 1}'"
        if rows * columns > 1
        else ""
    )
    x1, y1, x2, y2 = box.split()
    return (
        f"<cell id='1' start-row='{row}' start-col='{column}'{end}>\n"
        f"<bounding-box x1='{x1}' y1='{y1}' x2='{x2}' y2='{y2}'/><content>{text}</content>"
        "<instruction instr-id='3'/></cell>"
    )


def region(*cells, page=1, name=1, increments="row-increment='0' col-increment='0'"):
    return f"<region id='{name}' page='{page}' {increments}>{''.join(cells)}</region>"


def structure(*tables):
    body = "".join(
        f"\n<table id='{n}'>{''.join(regions)}</table>" for n, regions in enumerate(tables, 1)
    )
    return f"<?xml version='1.0'?>\n<document filename='bm_other-name-str.xml'>{body}</document>"


SQUARE = cell("a", 0, 0) + cell("b\n c", 0, 1) + cell("d", 1, 0) + cell("e", 1, 1)


def test_the_tables_of_a_page_are_a_sample_with_html_structure_and_places(tmp_path):
    places = "<document><table id='1'><region id='1' page='2'><bounding-box x1='10' y1='500' x2='90' y2='600'/></region></table></document>"
    files = {"x.pdf": None, "x-str.xml": structure([region(SQUARE, page=2)]), "x-reg.xml": places}
    root = make(tmp_path, files)
    sample = only(root)
    html = "<table><tr><td>a</td><td>b c</td></tr><tr><td>d</td><td>e</td></tr></table>"
    assert detected(root) == "icdar2013"
    assert sample.images == ("x.pdf#page=2",) and sample.source == "x-str.xml:3"
    assert sample.text == html
    assert sample.regions == (Region(label="table", box=(10, 500, 90, 600), text=html),)
    assert sample.box_frame == "points" and sample.also_read == ("x-reg.xml",)
    assert sample.structure[0].cells[1] == Cell(row=0, column=1, text="b\n c")


def test_each_pdf_is_a_document_though_its_name_ends_as_a_pages_does(tmp_path):
    xml = structure([region(SQUARE)])
    found = samples(
        make(
            tmp_path,
            {
                "d/eu-001.pdf": None,
                "d/eu-001-str.xml": xml,
                "d/eu-002.pdf": None,
                "d/eu-002-str.xml": xml,
            },
        )
    )
    assert [sample.group for sample in found] == ["d/eu-001", "d/eu-002"]


def test_without_a_file_of_places_a_table_reaches_around_its_cells(tmp_path):
    cells = cell("a", 0, 0, box="10 80 20 90") + cell("b", 1, 0, box="12 60 40 70")
    sample = only(make(tmp_path, {"x.pdf": None, "x-str.xml": structure([region(cells)])}))
    assert sample.regions[0].box == (10, 60, 40, 90) and sample.also_read == ()


def test_cells_come_in_the_order_of_rows_and_may_span_several(tmp_path):
    cells = (
        cell("b", 1, 1)
        + cell("side", 0, 0, rows=2)
        + cell("head", 0, 1, columns=2)
        + cell("c", 1, 2)
    )
    sample = only(make(tmp_path, {"x.pdf": None, "x-str.xml": structure([region(cells)])}))
    assert sample.text == (
        '<table><tr><td rowspan="2">side</td><td colspan="2">head</td></tr>'
        "<tr><td>b</td><td>c</td></tr></table>"
    )


def test_rows_and_columns_may_count_from_one(tmp_path):
    cells = cell("a", 1, 1) + cell("b", 1, 2)
    sample = only(make(tmp_path, {"x.pdf": None, "x-str.xml": structure([region(cells)])}))
    assert sample.text == "<table><tr><td>a</td><td>b</td></tr></table>"


def test_tables_of_one_page_share_a_sample_and_other_pages_have_their_own(tmp_path):
    tables = [
        [region(cell(text, 0, 0), page=page)] for text, page in (("a", 3), ("b", 1), ("c", 3))
    ]
    found = samples(make(tmp_path, {"x.pdf": None, "x-str.xml": structure(*tables)}))
    assert [s.images for s in found] == [("x.pdf#page=1",), ("x.pdf#page=3",)]
    assert found[1].text.split("\n\n") == [f"<table><tr><td>{t}</td></tr></table>" for t in "ac"]


@pytest.mark.parametrize(
    "increments", ["row-increment='2' col-increment='0'", "row-increment='0' col-increment='0'"]
)
def test_a_table_over_two_pages_joins_them(tmp_path, increments):
    tables = [
        [
            region(SQUARE, page=1),
            region(cell("f", 0, 0) + cell("g", 0, 1), page=2, name=2, increments=increments),
        ],
        [region(cell("other", 0, 0), page=2)],
        [region(cell("alone", 0, 0), page=4)],
    ]
    first, second = samples(make(tmp_path, {"x.pdf": None, "x-str.xml": structure(*tables)}))
    assert first.images == ("x.pdf#page=1", "x.pdf#page=2") and second.images == ("x.pdf#page=4",)
    assert "<tr><td>d</td><td>e</td></tr><tr><td>f</td><td>g</td></tr></table>" in first.text
    assert [region.image for region in first.regions] == [0, 1, 1]
    assert isinstance(first.structure[0], Table) and len(first.structure) == 2


@pytest.mark.parametrize(
    "cells, reason",
    [
        (cell("a", 0, 0) + cell("b", 0, 0), "covers row 0, column 0, as a cell before it does"),
        (
            cell("a", 0, 0, columns=2).replace("end-col='1'", "end-col='x'"),
            "expected a whole number as end-col, found 'x'",
        ),
        (
            cell("a", 0, 3, columns=2).replace("end-col='4'", "end-col='0'"),
            "ends in row 0, column 0, before it begins (0, 3)",
        ),
        (cell("a", 99999, 99999), "a table of more than 100000 places"),
        (
            cell("a", 0, 0).replace("start-row='0'", ""),
            "expected a whole number as start-row, found nothing",
        ),
        (cell("a", 0, 0).replace("x1='1'", "x1='nan'"), "expected a number as x1, found 'nan'"),
        ("", "a table without cells; expected <cell> in its <region>"),
    ],
)
def test_a_table_that_cannot_be_laid_out_is_told(tmp_path, cells, reason):
    root = make(tmp_path, {"x.pdf": None, "x-str.xml": structure([region(cells)])})
    assert problems(root)[0][0] == "bad value" and reason in reasons(root)[0]


def test_tables_are_limited_one_by_one_and_together(tmp_path, monkeypatch):
    monkeypatch.setattr(icdar2013, "MAX_PLACES", 6)
    wide = [region(cell("a", 0, 0, columns=7))]
    twice = [region(SQUARE), region(SQUARE, name=2)]
    together = [[region(SQUARE)], [region(SQUARE)]]
    for name, tables in (("wide", [wide]), ("twice", [twice]), ("together", together)):
        root = make(tmp_path / name, {"x.pdf": None, "x-str.xml": structure(*tables)})
        assert problems(root)[0][0] == "bad value" and "more than 6 places" in reasons(root)[0]


def test_files_that_belong_to_nothing_are_told(tmp_path):
    good = structure([region(SQUARE)])
    root = make(
        tmp_path,
        {
            "a.pdf": None,
            "a-str.xml": good,
            "a-reg.xml": "<document",
            "b-str.xml": good,
            "c-reg.xml": "<document/>",
            "d.pdf": None,
            "d-str.xml": structure(),
            "e.pdf": None,
            "e-str.xml": "<other/>",
        },
    )
    assert problems(root) == [
        ("not valid XML", "a-reg.xml:1"),
        ("annotation without picture", "b-str.xml:2"),
        ("no text", "d-str.xml:2"),
        ("no text", "e-str.xml:1"),
        ("no text", "c-reg.xml:1"),
    ]


def test_a_page_that_does_not_exist_yet_is_not_told_twice(tmp_path):
    page_zero = structure([region(SQUARE, page=0)])
    root = make(tmp_path, {"x.pdf": None, "x-str.xml": page_zero})
    assert reasons(root) == ["<region>: page 0; pages count from 1"]
