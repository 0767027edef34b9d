from __future__ import annotations

import pytest

from .folders import detected, make, only, problems, reasons, samples


@pytest.mark.parametrize(
    "file, picture", [("labels.json", "images/1.jpg"), ("a/label.json", "a/1.jpg")]
)
def test_words_are_read_from_one_file_of_names(tmp_path, file, picture):
    make(tmp_path, {picture: None, file: '{\n"1.jpg":\n "a, \\"b\\""\n}\n'})
    sample = only(tmp_path)
    assert detected(tmp_path) == "doctr"
    assert (sample.images, sample.text, sample.source) == ((picture,), 'a, "b"', f"{file}:2")


def test_each_folder_may_have_a_file_of_its_own(tmp_path):
    for folder in ("x", "y"):
        make(tmp_path, {f"{folder}/1.jpg": None, f"{folder}/label.json": {"1.jpg": folder}})
    assert [(s.images[0], s.text) for s in samples(tmp_path)] == [
        ("x/1.jpg", "x"),
        ("y/1.jpg", "y"),
    ]


def test_detection_has_regions_in_reading_order_and_no_text(tmp_path):
    low, high = [[0, 20], [9, 20], [9, 29], [0, 29]], [[0, 0], [9, 0], [9, 9], [0, 9]]
    label = {"img_dimensions": [30, 30], "img_hash": "x"}
    make(
        tmp_path,
        {
            "images/1.jpg": None,
            "images/2.jpg": None,
            "labels.json": {
                "1.jpg": {**label, "polygons": [low, high]},
                "2.jpg": {**label, "polygons": {"stamp": [low], "date": [high]}},
            },
        },
    )
    plain, named = samples(tmp_path)
    assert (plain.text, named.text) == ("", "")
    assert [(r.label, r.box) for r in plain.regions] == [
        ("words", (0, 0, 9, 9)),
        ("words", (0, 20, 9, 29)),
    ]
    assert [r.label for r in named.regions] == ["date", "stamp"]


def test_pages_with_words_are_read_row_by_row(tmp_path):
    words = [
        {"value": "b", "geometry": [20, 0, 29, 9, 0.5]},
        {"value": "a", "geometry": [[0, 1], [9, 1], [9, 9], [0, 9]]},
    ]
    make(tmp_path, {"1.png": None, "labels.json": {"1.png": {"typed_words": words}}})
    assert only(tmp_path).text == "a b"


def test_every_bad_member_is_a_problem_with_its_line(tmp_path):
    members = [
        '"1.jpg": "one"',
        '"1.jpg": "again"',
        '"2.jpg": 3',
        '"none.jpg": "x"',
        '"../up.jpg": "x"',
        '"3.jpg": {"polygons": [[[1, 2]]]}',
        '"4.jpg": {"typed_words": [{"value": "x"}]}',
        '"5.jpg": "a\\u0000b"',
        '"6.jpg": NaN',
    ]
    names = {f"images/{n}.jpg": None for n in range(1, 8)}
    make(tmp_path, {**names, "labels.json": "{\n" + ",\n".join(members) + "}"})
    assert problems(tmp_path) == [
        ("not valid JSON", "labels.json:3"),
        ("bad value", "labels.json:4"),
        ("annotation without picture", "labels.json:5"),
        ("bad path", "labels.json:6"),
        ("bad value", "labels.json:7"),
        ("bad value", "labels.json:8"),
        ("not valid JSON", "labels.json:9"),
        ("not valid JSON", "labels.json:10"),
        ("picture without annotation", "images/5.jpg"),
        ("picture without annotation", "images/6.jpg"),
        ("picture without annotation", "images/7.jpg"),
    ]


def test_after_a_syntax_error_no_picture_is_said_to_be_without_annotation(tmp_path):
    make(tmp_path, {"1.jpg": None, "2.jpg": None, "labels.json": '{"1.jpg": "x",\n"2.jpg" "y"}'})
    assert problems(tmp_path) == [("not valid JSON", "labels.json:2")]
    assert reasons(tmp_path) == ["not valid JSON (expected : after a key)"]


def test_a_file_that_cannot_be_read_at_all_is_told(tmp_path):
    make(tmp_path, {"a/1.jpg": None, "a/label.json": {"1.jpg": "x"}, "b/1.jpg": None})
    make(tmp_path, {"b/label.json": b'{"1.jpg": "\xe9"}', "other.json": {"version": 1}})
    assert problems(tmp_path) == [("not UTF-8", "b/label.json:1")]
