from __future__ import annotations

import pytest

from deepseek_ocr.data.truth.structures import Fields

from .folders import detected, make, only, problems, reasons


def entity(number, label, text, box, *links):
    return {"id": number, "label": label, "text": text, "box": box, "words": [], "linking": links}


FORM = [
    entity(0, "question", "TO:", [100, 0, 130, 10], [0, 1]),
    entity(1, "answer", "Ann", [140, 1, 170, 11], [0, 1]),
    entity(2, "header", "FAX, SHEET", [0, 0, 90, 10]),
    entity(3, "question", "Sent:", [0, 30, 40, 40], [3, 5], [3, 4]),
    entity(4, "answer", "May 1", [50, 30, 90, 40], [3, 4]),
    entity(5, "answer", "9 am", [95, 31, 120, 41], [3, 5]),
    entity(6, "question", "Signed:", [0, 60, 40, 70]),
    entity(7, "other", "", [0, 90, 4, 94]),
]


def form(tmp_path, entities):
    names = {"training_data/images/1.png": None}
    return make(tmp_path, {**names, "training_data/annotations/1.json": {"form": entities}})


def test_a_form_is_read_row_by_row_and_its_answers_are_fields(tmp_path):
    sample = only(form(tmp_path, FORM))
    assert detected(tmp_path) == "funsd"
    assert sample.images == ("training_data/images/1.png",)
    assert sample.text == "FAX, SHEET TO: Ann\nSent: May 1 9 am\nSigned:"
    assert sample.structure == (
        Fields(value={"TO:": "Ann", "Sent:": ["May 1", "9 am"], "Signed:": ""}),
    )
    assert [region.label for region in sample.regions][:3] == ["header", "question", "answer"]
    assert sample.source == "training_data/annotations/1.json:1"


def test_links_to_nothing_and_between_other_parts_are_no_fields(tmp_path):
    parts = [
        entity(0, "header", "A", [0, 0, 9, 9], [0, 1], [0, 99]),
        entity(1, "other", "B", [0, 20, 9, 29], [0, 1]),
    ]
    assert only(form(tmp_path, parts)).structure == ()


def test_two_questions_of_one_text_are_one_field_with_both_answers(tmp_path):
    parts = [
        entity(0, "question", "Date", [0, 0, 9, 9], [0, 1]),
        entity(1, "answer", "May 1", [20, 0, 29, 9]),
        entity(2, "question", "Date", [0, 20, 9, 29], [2, 3]),
        entity(3, "answer", "May 2", [20, 20, 29, 29]),
    ]
    assert only(form(tmp_path, parts)).structure[0].value == {"Date": ["May 1", "May 2"]}


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"box": [1, 2, 3]}, "entity 9 of the form: expected a box as [x1, y1, x2, y2]"),
        ({"box": [1, 2, 3, None]}, "entity 9 of the form: 'None' is no number of pixels"),
        ({"text": 3}, "entity 9 of the form: 'text': expected a string, found 3"),
        ({"id": None}, "entity 9 of the form: 'id': expected a number, found None"),
        ({"linking": [[1]]}, "entity 9 of the form: 'linking': expected a list of pairs of ids"),
        ({"linking": [[1, []]]}, "entity 9 of the form: 'linking': expected a list of pairs of"),
    ],
)
def test_a_bad_entity_is_named(tmp_path, change, reason):
    bad = {**entity(8, "other", "x", [0, 0, 9, 9]), **change}
    (found,) = reasons(form(tmp_path, [*FORM, bad]))
    assert found.startswith(reason)


def test_files_of_other_shapes_and_pictures_without_any_are_problems(tmp_path):
    form(tmp_path, FORM)
    make(
        tmp_path,
        {
            "training_data/images/2.png": None,
            "training_data/annotations/2.json": {"from": []},
            "training_data/images/3.png": None,
            "training_data/annotations/4.json": {"form": FORM},
            "training_data/images/5.png": None,
            "training_data/annotations/5.json": {"form": [3, "x"]},
        },
    )
    assert problems(tmp_path, "funsd") == [
        ("bad value", "training_data/annotations/2.json:1"),
        ("annotation without picture", "training_data/annotations/4.json:1"),
        ("bad value", "training_data/annotations/5.json:1"),
        ("bad value", "training_data/annotations/5.json:1"),
        ("picture without annotation", "training_data/images/3.png"),
    ]
