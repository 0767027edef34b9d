"""What a user hears whose dataset is nearly right: the file or the key that was meant."""

from __future__ import annotations

import json
import unicodedata

import pytest

from deepseek_ocr.data.annotations import Annotation
from deepseek_ocr.data.checking.dataset import check_dataset
from deepseek_ocr.data.folder import DatasetFolder
from deepseek_ocr.data.formats import choose_reader
from deepseek_ocr.data.problems import Problem
from deepseek_ocr.errors import UserError

from .folders import detected, make, only, problems, read, reasons, samples


def lines(*rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def told(root):
    """All problems of a checked folder, as people read them."""
    folder = DatasetFolder(root)
    reader, _ = choose_reader(folder)
    with check_dataset(folder, reader, prompt="Read.", group_by="document") as found:
        return {str(problem): problem.of_row for problem in found.problems}


def test_a_picture_of_a_kind_that_is_not_read_is_told(tmp_path):
    make(tmp_path, {"a.png": None, "a.txt": "A", "b.heic": "x", "b.txt": "B", "c.JP2": "x"})
    assert told(tmp_path) == {
        "b.txt:1: no picture of the same name; b.heic is of a kind that is not read; "
        "convert it to PNG or JPEG": True,
        "b.heic: a kind of picture that is not read; convert it to PNG or JPEG": False,
        "c.JP2: a kind of picture that is not read; convert it to PNG or JPEG": False,
    }


def test_a_picture_of_such_a_kind_that_a_row_names_is_told_once(tmp_path):
    make(tmp_path, {"b.heic": "x", "r.jsonl": lines({"image": "b.heic", "text": "B"})})
    (problem,) = told(tmp_path)
    assert problem.startswith("r.jsonl:1: b.heic: not a picture of a known format")


def test_a_folder_of_such_pictures_alone_names_them(tmp_path):
    make(tmp_path, {"a.jp2": "x", "b.jp2": "x", "a.txt": "A"})
    with pytest.raises(UserError, match=r"a\.jp2: a kind of picture.*\(and 1 more\)"):
        choose_reader(DatasetFolder(tmp_path))


@pytest.mark.parametrize(
    "table, reason",
    [
        ("Datei;Text\na.png;A\n", "found 'datei', 'text'; expected one for the picture (images,"),
        ("a.png,hello\n", "found 'a.png', 'hello'; expected one for the picture"),
        ("Datei;Text\na.png;M\xfcller\n".encode("cp1252"), "found 'datei', 'text'"),
        ("image,text\na.png,hello, there\n", "3 cells in a table of 2 columns"),
        ('image,text\na.png,"hello\n', "a quote is opened and never closed"),
        ("image;text\na.png;M\xfcller\n".encode("cp1252"), "not UTF-8; save the file in UTF-8"),
    ],
)
def test_a_table_without_a_usable_row_is_read_to_tell_why(tmp_path, table, reason):
    make(tmp_path, {"a.png": None, "rows.csv": table})
    assert detected(tmp_path) == "csv"
    found = [p for p in read(tmp_path) if isinstance(p, Problem) and p.of_row]
    assert len(found) == 1 and found[0].source.startswith("rows.csv:") and reason in found[0].reason


@pytest.mark.parametrize(
    "picture, text",
    [("jpg/a/1.png", "txt/a/1.txt"), ("PNG/1.png", "truth/1.txt"), ("photos/1.png", "ocr/1.txt")],
)
def test_sister_folders_are_known_by_their_names(tmp_path, picture, text):
    make(tmp_path, {picture: None, text: "A"})
    assert only(tmp_path).images == (picture,)


@pytest.mark.parametrize(
    "picture, text, reason",
    [
        ("lot/1.png", "txt/1.txt", "lot/1.png has that name, but lot/ is not a known folder of p"),
        ("img/1.png", "mine/1.txt", "but mine/ is not a known folder of annotations"),
        ("v1/1.png", "v2/1.txt", "v1/1.png has that name, but lies in another folder"),
        ("B.png", "b.txt", "B.png has that name, but in other letters"),
    ],
)
def test_an_annotation_apart_from_its_picture_is_told_which_it_is(tmp_path, picture, text, reason):
    make(tmp_path, {"a.png": None, "a.txt": "A", picture: None, text: "A"})
    (found,) = [why for why in reasons(tmp_path) if "no picture" in why]
    assert reason in found


def test_a_picture_annotated_in_another_format_is_told_so(tmp_path):
    files = {f"{name}.png": None for name in "abc"}
    make(tmp_path, {**files, "a.txt": "A", "b.txt": "B", "c.json": {"text": "C"}})
    (reason,) = reasons(tmp_path)
    assert "not c.json: one folder is read in one format" in reason


def test_accents_may_be_taken_apart_in_the_name_on_disk(tmp_path):
    apart = unicodedata.normalize("NFD", "Müller.png")
    make(tmp_path / "t", {apart: None, "Müller.txt": "A"})
    make(tmp_path / "r", {apart: None, "r.jsonl": lines({"image": "Müller.png", "text": "A"})})
    assert only(tmp_path / "t").images == only(tmp_path / "r").images == (apart,)


def test_of_two_names_that_differ_in_accents_alone_each_has_its_own_text(tmp_path):
    apart, whole = (unicodedata.normalize(form, "é") for form in ("NFD", "NFC"))
    files = {f"{name}{end}": name for name in (apart, whole) for end in (".png", ".txt")}
    make(tmp_path, files)
    assert {s.images[0]: s.text for s in samples(tmp_path)} == {
        f"{name}.png": name for name in (apart, whole)
    }


@pytest.mark.parametrize("written", ["A.PNG", "a", "a.jpg", "deep/a.png"])
def test_a_row_that_names_a_picture_nearly_hears_its_name(tmp_path, written):
    make(tmp_path, {"a.png": None, "r.jsonl": lines({"image": written, "text": "A"})})
    assert "a.png exists: write that" in reasons(tmp_path)[0]


@pytest.mark.parametrize("box, is_told", [([0.1, 0.1, 0.5, 1], True), ([0, 0, 1.5, 1], False)])
def test_boxes_in_shares_are_told(tmp_path, box, is_told):
    row = {"image": "a.png", "text": "A", "regions": [{"label": "l", "box": box}]}
    make(tmp_path, {"a.png": None, "r.jsonl": lines(row)})
    assert any("looks like shares" in why for why in reasons(tmp_path)) is is_told


def test_pictures_of_rows_that_are_broken_are_counted_in_one_line(tmp_path):
    files = {f"{name}.png": None for name in "abc"}
    make(tmp_path, {**files, "r.jsonl": lines({"image": "a.png", "text": "A"}) + "{broken\n" * 2})
    assert problems(tmp_path)[-1] == ("picture without annotation", "b.png")
    assert reasons(tmp_path)[-1] == (
        "this picture and 1 other are named by no row of r.jsonl that can be used; "
        "mend the rows first"
    )


@pytest.mark.parametrize(
    "text, reason",
    [
        ('[{"image": "a.png", "text": "A"},]', "a comma before ], column 33"),
        ('[{"image": "a.png", "text": "A",}]', "a comma before }, column 32"),
        ('[{"image": "a.png", "text": "A", "x": [1 , ]}]', "a comma before ], column 42"),
    ],
)
def test_a_comma_too_many_is_named(tmp_path, text, reason):
    make(tmp_path, {"a.png": None, "r.json": text})
    (found,) = [why for why in reasons(tmp_path, "json") if "JSON" in why]
    assert found == f"not valid JSON ({reason}); remove it"


def test_line_ends_of_windows_within_a_cell_become_plain(tmp_path):
    make(tmp_path, {"a.png": None, "r.csv": 'image,text\r\na.png,"one\r\ntwo"\r\n'})
    assert only(tmp_path).text == "one\ntwo"


def test_files_named_by_their_side_are_told_to_be_read_together(tmp_path):
    rows = {f"{name}.png": lines({"image": f"{name}.png", "text": name}) for name in "ab"}
    make(tmp_path, {**rows, "train.jsonl": rows["a.png"], "test.jsonl": rows["b.png"]})
    reason = choose_reader(DatasetFolder(tmp_path))[1]
    assert "test.jsonl and 1 more file name their pictures" in reason
    assert "test.jsonl and train.jsonl are read together and split anew" in reason


def test_keys_may_be_written_in_capitals(tmp_path):
    row = {"Image": "a.png", "TEXT": "A", "Lang": "de", "Writer": "w"}
    make(tmp_path, {"a.png": None, "r.jsonl": lines(row)})
    found = only(tmp_path)
    assert (found.text, found.lang, dict(found.attributes)["Writer"]) == ("A", "de", "w")
    make(tmp_path / "s", {"a.png": None, "a.json": {"Text": "A"}})
    assert only(tmp_path / "s").text == "A"


def test_a_row_without_picture_hears_which_keys_it_has(tmp_path):
    make(tmp_path, {"a.png": None, "r.jsonl": lines({"scan": "a.png", "text": "A"})})
    assert "found scan, text" in reasons(tmp_path)[0]
    assert not any(isinstance(found, Annotation) for found in read(tmp_path))
