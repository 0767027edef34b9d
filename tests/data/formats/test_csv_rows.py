from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.data.annotations import Annotation, Region
from deepseek_ocr.data.folder import DatasetFolder
from deepseek_ocr.data.formats import _csv_rows, choose_reader
from deepseek_ocr.data.formats._csv_rows import read_csv
from deepseek_ocr.data.json_files import rows as json_rows
from deepseek_ocr.data.problems import Problem

from ..datasets import draw


def folder_with(root, content, name="rows.csv"):
    draw(root / "a.png")
    draw(root / "b.png", 1)
    content = content.encode() if isinstance(content, str) else content
    (root / name).write_bytes(content)
    return DatasetFolder(root)


def read(root, content, name="rows.csv", *, reader="csv"):
    folder = folder_with(root, content, name)
    chosen, _ = choose_reader(folder)
    found = chosen.NAME
    assert found == reader
    return list(chosen.read(folder))


def rows(path):
    return list(read_csv(path, "rows.csv"))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_delimiters_marks_and_line_ends_are_found_out(tmp_path, delimiter, mark, end):
    lines = [("image", "text"), ("a.png", '"two, lines;\nand | a ""quote"""'), ("b.png", "x")]
    content = mark + end.join(delimiter.join(line) for line in lines) + end
    first, second = read(tmp_path, content)
    assert (first.text, first.source) == ('two, lines;\nand | a "quote"', "rows.csv:2")
    assert (second.text, second.source, second.images) == ("x", "rows.csv:4", ("b.png",))


def test_columns_are_called_as_the_keys_of_a_row_in_any_case(tmp_path):
    content = ",Filename,Ground_Truth,lang,kind\n0,a.png,t,de,letter\n1,b.png,u,,\n\n"
    first, second = read(tmp_path, content)
    assert (first.text, first.lang, first.attributes["kind"]) == ("t", "de", "letter")
    assert (second.lang, second.group) == (None, None)


def test_cells_may_hold_json_where_a_row_has_lists(tmp_path):
    content = io.StringIO()
    table = csv.writer(content)
    table.writerow(["images", "text", "regions"])
    table.writerow(['["a.png", "b.png"]', "t", '[{"box": [1, 2, 3, 4], "label": "l"}]'])
    table.writerow(["[]", "[not a list", ""])
    first, second = read(tmp_path, content.getvalue())
    assert first.images == ("a.png", "b.png")
    assert first.regions == (Region(label="l", box=(1, 2, 3, 4)),)
    assert (second.images, second.text) == ((), "[not a list")


def test_metadata_csv_is_an_imagefolder(tmp_path):
    found = read(
        tmp_path, "file_name,text\na.png,t\nb.png,u\n", "metadata.csv", reader="imagefolder"
    )
    assert [sample.text for sample in found] == ["t", "u"]


@pytest.mark.parametrize(
    "content, source, reason",
    [
        ('image,text\na.png,"open\nb.png,x\n', 2, "a quote is opened and never closed"),
        ('image,text\na.png,"a"b\n', 2, "not valid CSV ('"),
        ("image,text\na.png,a,b\n", 2, "3 cells in a table of 2 columns"),
        ("image,text\na.png\n", 2, "1 cells in a table of 2 columns"),
        ("image,text\na.png,\n", 2, "'text' is null"),
        ("image,text,text\na.png,x,y\n", 1, "the column 'text' is there twice"),
        ("image,text\na.png,a\0b\n", 2, "a null character"),
        (b"image,text\na.png,\xe9\n", 2, "not UTF-8"),
        (b"image,te\xe9xt\na.png,x\n", 1, "not UTF-8"),
        ('image,text\n"data:image/png;base64,AAAA",x\n', 2, "a picture inside this kind of file"),
        ("image,text\nc.png,x\n", 2, "the picture c.png does not exist"),
    ],
)  # fmt: skip
def test_a_bad_row_is_a_problem_with_its_line(tmp_path, content, source, reason):
    folder = folder_with(tmp_path, content)
    found = list(choose_reader(folder, "csv")[0].read(folder))
    (problem,) = [p for p in found if p.of_row]
    assert isinstance(problem, Problem)
    assert problem.source == f"rows.csv:{source}" and reason in problem.reason


def test_other_rows_survive_a_bad_one(tmp_path):
    content = b'image,text\na.png,\xe9\na.png,1,2\na.png,"x"y\na.png,good\nb.png,"too"\n'
    found = rows(folder_with(tmp_path, content).path("rows.csv"))
    kinds = [one.kind if isinstance(one, Problem) else one.value["text"] for one in found]
    assert kinds == ["not UTF-8", "not valid CSV", "not valid CSV", "good", "too"]
    assert [one.line for one in found[3:]] == [5, 6]


def test_a_cell_longer_than_the_usual_limit_is_read_and_one_beyond_ours_is_told(
    tmp_path, monkeypatch
):
    long = "x" * 200_000  # the csv module alone refuses more than 131,072 characters
    found = read(tmp_path / "1", f"image,text\na.png,{long}\nb.png,x\n")
    assert found[0].text == long
    monkeypatch.setattr(_csv_rows, "MAX_ROW_BYTES", 1000)
    monkeypatch.setattr(json_rows, "MAX_ROW_BYTES", 1000)
    long = "long line\n" * 200
    content = f'image,text\na.png,x\nb.png,"{long}"\n'
    good, problem = rows(folder_with(tmp_path / "2", content).path("rows.csv"))
    assert good.value["text"] == "x"
    assert (problem.kind, problem.source) == ("row too long", "rows.csv:3")


def test_a_table_without_known_columns_is_no_dataset(tmp_path):
    folder = folder_with(tmp_path, "x1,y1,label_of_class\n1,2,3\n")
    (tmp_path / "a.txt").write_text("t")
    assert choose_reader(DatasetFolder(tmp_path))[0].NAME == "txt"
    assert len(folder.files) == 3


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@given(st.lists(st.tuples(cells, cells), max_size=5), st.sampled_from(["\n", "\r\n"]))
def test_what_the_csv_module_writes_is_read_back(tmp_path_factory, table, end):
    path = tmp_path_factory.mktemp("csv") / "rows.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator=end, quoting=csv.QUOTE_ALL)
        writer.writerow(["a", "b"])
        writer.writerows(table)
    found = [(row.value["a"] or "", row.value["b"] or "") for row in rows(path)]
    assert found == table


@given(st.binary(max_size=80))
def test_no_bytes_make_it_raise(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("csv") / "rows.csv"
    path.write_bytes(b"image,text\n" + content)
    for found in read_csv(path, "rows.csv"):
        assert isinstance(found, Problem | json_rows.Row)
    assert isinstance(Annotation, type)
