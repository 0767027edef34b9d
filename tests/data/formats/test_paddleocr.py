from __future__ import annotations

import json

import pytest

from deepseek_ocr.data.splitting.grouping import document_of
from deepseek_ocr.data.truth.structures import Fields

from .folders import detected, make, only, problems, read, reasons, samples


def box(text, x, y, **more):
    return {
        "transcription": text,
        "points": [[x, y], [x + 20, y], [x + 20, y + 9], [x, y + 9]],
        **more,
    }


def label(picture, *boxes):
    return f"{picture}\t{json.dumps(boxes, ensure_ascii=False)}\n"


def test_recognition_has_a_picture_a_tab_and_its_text(tmp_path):
    lines = "\ufefftrain/1.jpg\ta, b\r\n\r\ntrain/2.jpg\t[1]\tc \r\n"
    make(tmp_path, {"train/1.jpg": None, "train/2.jpg": None, "rec_gt_train.txt": lines})
    one, two = samples(tmp_path)
    assert detected(tmp_path) == "paddleocr"
    assert (one.text, two.text) == ("a, b", "[1]\tc ")
    assert (two.images, two.source) == (("train/2.jpg",), "rec_gt_train.txt:3")


def test_several_pictures_of_one_text_are_several_samples(tmp_path):
    make(tmp_path, {"1.jpg": None, "2.jpg": None, "rec.txt": '["1.jpg", "2.jpg"]\tsame\n'})
    assert [(s.images[0], s.text) for s in samples(tmp_path)] == [
        ("1.jpg", "same"),
        ("2.jpg", "same"),
    ]


@pytest.mark.parametrize("written", ["1.jpg", "page/1.jpg"])
def test_detection_is_read_row_by_row_without_what_nobody_could_read(tmp_path, written):
    boxes = (
        box("below", 0, 30),
        box("###", 0, 60),
        box("right", 40, 1),
        box("left", 0, 0),
        box("*", 0, 90),
    )
    make(tmp_path, {"page/1.jpg": None, "page/Label.txt": label(written, *boxes)})
    sample = only(tmp_path)
    assert detected(tmp_path) == "paddleocr"
    assert sample.text == "left right\nbelow" and sample.attributes == {"num_ignored": "2"}
    assert [(r.text, r.box) for r in sample.regions][1] == ("right", (40, 1, 60, 10))
    assert sample.images == ("page/1.jpg",) and sample.structure == ()


def test_a_text_that_only_begins_like_boxes_is_a_text(tmp_path):
    lines = "1.jpg\t[{x}] = 1\n2.jpg\t[]\n"
    make(tmp_path, {"1.jpg": None, "2.jpg": None, "rec_gt.txt": lines})
    assert [sample.text for sample in samples(tmp_path)] == ["[{x}] = 1", "[]"]


def test_an_empty_list_among_boxes_is_a_page_without_text(tmp_path):
    lines = "1.jpg\t[]\n" + label("2.jpg", box("a", 0, 0)) + '3.jpg\t[{"points": []}]\n'
    make(tmp_path, {"1.jpg": None, "2.jpg": None, "3.jpg": None, "Label.txt": lines})
    found = read(tmp_path)
    assert found[0].text == "" and found[1].text == "a"
    assert found[2].reason == "box 1: expected an object with 'transcription' and 'points'"


def test_linked_questions_and_answers_are_fields(tmp_path):
    boxes = (
        box("Name:", 0, 0, label="question", id=1, linking=[[1, 2]]),
        box("Ann", 40, 0, label="answer", id=2, linking=[[1, 2]]),
        box("x", 0, 30, label="other", id=3, linking=[]),
    )
    make(tmp_path, {"zh_train_0.jpg": None, "train.txt": label("zh_train_0.jpg", *boxes)})
    sample = only(tmp_path)
    assert sample.structure == (Fields(value={"Name:": "Ann"}),)
    assert [r.label for r in sample.regions] == ["question", "answer", "other"]


def test_boxes_with_a_class_each_are_fields(tmp_path):
    boxes = (
        box("Ann", 0, 0, key_cls="name"),
        box("1", 0, 30, key_cls="qty"),
        box("2", 0, 60, key_cls="qty"),
    )
    none = box("x", 0, 90, key_cls="None")
    make(tmp_path, {"1.jpg": None, "Label.txt": label("1.jpg", *boxes, none)})
    sample = only(tmp_path)
    assert sample.structure == (Fields(value={"name": "Ann", "qty": ["1", "2"]}),)
    assert sample.regions[-1].label == ""


def test_crops_belong_to_the_document_of_their_page(tmp_path):
    make(
        tmp_path,
        {
            "scan_p1.jpg": None,
            "Label.txt": label("scan_p1.jpg", box("a", 0, 0)),
            "crop_img/scan_p1_crop_0.jpg": None,
            "crop_img/gone_crop_0.jpg": None,
            "rec_gt.txt": "crop_img/scan_p1_crop_0.jpg\ta\ncrop_img/gone_crop_0.jpg\tb\n",
            "fileState.txt": "scan_p1.jpg\t1\n",
        },
    )
    page, crop, other = samples(tmp_path)
    assert page.group is None and other.group is None
    assert crop.group == document_of("scan_p1.jpg") == "scan"


def test_every_bad_line_is_a_problem(tmp_path):
    lines = [
        "1.jpg\tone",
        "no tab here",
        "none.jpg\tx",
        "/etc/passwd\tx",
        label("2.jpg", box("TEMPORARY", 0, 0)).strip(),
        label("2.jpg", {"transcription": "x", "points": [[1, 2]]}).strip(),
        '2.jpg\t[{"transcription": "x"',
        label("2.jpg", box("###", 0, 0), box("*", 0, 0)).strip(),
        "[1]\tx",
    ]
    make(tmp_path, {"1.jpg": None, "2.jpg": None, "3.jpg": None, "train.txt": "\n".join(lines)})
    assert problems(tmp_path) == [
        ("bad line", "train.txt:2"),
        ("annotation without picture", "train.txt:3"),
        ("bad path", "train.txt:4"),
        ("bad value", "train.txt:5"),
        ("bad value", "train.txt:6"),
        ("bad value", "train.txt:7"),
        ("empty text", "train.txt:8"),
        ("bad value", "train.txt:9"),
        ("picture without annotation", "3.jpg"),
    ]
    assert reasons(tmp_path)[4] == "box 1: expected corners as [[x, y], [x, y], ...]"


def test_bytes_that_are_not_utf8_are_told_with_their_line(tmp_path):
    make(tmp_path, {"1.jpg": None, "2.jpg": None, "train.txt": b"1.jpg\ta\n2.jpg\tcaf\xe9\n"})
    make(tmp_path, {"val.txt": "2.jpg\t汇\n".encode("gbk"), "keys.txt": "a\nb\n"})
    assert problems(tmp_path) == [
        ("not UTF-8", "train.txt:2"),
        ("not UTF-8", "val.txt:1"),
        ("picture without annotation", "2.jpg"),
    ]


def test_a_text_file_beside_each_picture_is_no_list_of_labels(tmp_path):
    make(tmp_path, {"1.jpg": None, "1.txt": "a\tb\n", "2.jpg": None, "2.txt": "see 1.jpg\n"})
    assert detected(tmp_path) == "txt"
