from __future__ import annotations

import pytest

from deepseek_ocr.data.annotations import Annotation
from deepseek_ocr.data.truth.structures import Fields

from .folders import detected, make, only, problems, read, reasons, samples

LINES = "50,0,90,0,90,10,50,10,RIGHT, WITH, COMMAS\r\n0,20,40,20,40,30,0,30,below\r\n\r\n0,1,40,1,40,11,0,11,left\r\n"
TEXT = "left RIGHT, WITH, COMMAS\nbelow"
VALUES = {"company": "LEFT", "total": "9.00"}


@pytest.mark.parametrize(
    "picture, box, key",
    [
        ("img/1.jpg", "box/1.csv", "key/1.json"),
        ("train/img/1.jpg", "train/box/1.txt", "train/entities/1.txt"),
        ("a/images/1.jpg", "a/box/1.txt", "a/key/1.json"),
        (
            "0325updated.task1train(626p)/1.jpg",
            "0325updated.task1train(626p)/1.txt",
            "0325updated.task2train(626p)/1.txt",
        ),
        ("task1_2_test(361p)/1.jpg", "text.task1_2-test(361p)/1.txt", "keys/1.json"),
    ],
)
def test_the_three_files_of_a_receipt_are_found_in_all_layouts(tmp_path, picture, box, key):
    make(tmp_path, {picture: None, box: "\ufeff" + LINES, key: VALUES})
    sample = only(tmp_path, "sroie")
    assert (sample.images, sample.text, sample.source) == ((picture,), TEXT, f"{box}:1")
    assert sample.structure == (Fields(value=VALUES),) and sample.also_read == (key,)
    assert [region.box for region in sample.regions][1] == (50, 0, 90, 10)
    assert [region.label for region in sample.regions] == [""] * 3


@pytest.mark.parametrize("box", ["box/1.csv", "img/1.txt"])
def test_receipts_are_detected_with_and_without_folders_of_their_own(tmp_path, box):
    make(tmp_path, {"img/1.jpg": None, box: LINES})
    assert detected(tmp_path) == "sroie" and only(tmp_path).text == TEXT
    assert only(tmp_path).structure == () and only(tmp_path).also_read == ()


def test_receipts_with_boxes_beside_them_are_no_plain_text(tmp_path):
    files = {f"X{number}.jpg": None for number in range(3)}
    make(tmp_path, {**files, **{f"X{number}.txt": LINES for number in range(3)}})
    assert detected(tmp_path) == "sroie"
    make(tmp_path, {"X1.txt": "1,2,3,4 and so on"})
    assert detected(tmp_path) == "txt"


def test_receipts_of_train_and_test_with_one_name_do_not_mix(tmp_path):
    for side in ("train", "test"):
        files = {f"{side}/img/1.jpg": None, f"{side}/box/1.txt": LINES}
        make(tmp_path, {**files, f"{side}/key/1.json": {"total": side}})
    found = samples(tmp_path)
    assert [s.structure[0].value["total"] for s in found] == ["test", "train"]
    assert [s.also_read for s in found] == [("test/key/1.json",), ("train/key/1.json",)]


def test_the_copies_of_the_receipts_for_the_second_task_are_no_samples(tmp_path):
    one, two = "0325updated.task1train(626p)", "0325updated.task2train(626p)"
    make(
        tmp_path,
        {
            f"{one}/1.jpg": None,
            f"{one}/1.txt": LINES,
            f"{one}/1(1).jpg": None,
            f"{one}/1(1).txt": LINES,
            f"{two}/1.jpg": None,
            f"{two}/1.txt": VALUES,
            f"{two}/2.jpg": None,
            f"{two}/2.txt": VALUES,
        },
    )
    found = read(tmp_path)
    assert [s.images[0] for s in found if isinstance(s, Annotation)] == [
        f"{one}/1(1).jpg",
        f"{one}/1.jpg",
    ]
    assert problems(tmp_path) == [
        ("picture without annotation", f"{two}/2.jpg"),
        ("annotation without picture", f"{two}/2.txt:1"),
    ]


def test_bad_receipts_are_problems_with_their_lines(tmp_path):
    make(
        tmp_path,
        {
            **{f"img/{n}.png": None for n in range(1, 8)},
            "box/1.csv": "0,0,9,0,9,9,0,9,ok\n1,2,3\na,0,9,0,9,9,0,9,x\n",
            "box/2.csv": b"0,0,9,0,9,9,0,9,ok\n0,0,9,0,9,9,0,9,caf\xe9 \x80 5\n",
            "box/4.csv": LINES,
            "key/4.json": '{"total": 1,\n"total": 2}',
            "box/5.csv": LINES,
            "key/5.json": VALUES,
            "entities/5.txt": VALUES,
            "box/6.csv": "9999999999,0,9,0,9,9,0,9,x",
            "box/7.csv": LINES,
            "key/7.json": b'{"company": "caf\xe9"}',
            "box/8.csv": LINES,
        },
    )
    assert problems(tmp_path) == [
        ("bad line", "box/1.csv:2"),
        ("bad line", "box/1.csv:3"),
        ("not UTF-8", "box/2.csv:2"),
        ("not valid JSON", "key/4.json:1"),
        ("ambiguous annotation", "entities/5.txt:1"),
        ("bad line", "box/6.csv:1"),
        ("not UTF-8", "key/7.json:1"),
        ("annotation without picture", "box/8.csv:1"),
        ("picture without annotation", "img/3.png"),
    ]


def test_other_json_in_the_folder_holds_no_values(tmp_path):
    make(tmp_path, {"img/1.jpg": None, "box/1.csv": LINES, "info.json": {"version": 1}})
    assert only(tmp_path).also_read == ()


def test_a_line_without_text_is_no_blank_in_the_receipt(tmp_path):
    make(tmp_path, {"img/1.jpg": None, "box/1.csv": "0,0,9,0,9,9,0,9,\n10,0,19,0,19,9,10,9,a\n"})
    assert only(tmp_path).text == "a"


def test_a_bad_line_is_told_with_what_was_expected(tmp_path):
    make(tmp_path, {"img/1.jpg": None, "box/1.csv": "1,2,3\n"})
    (reason,) = reasons(tmp_path)
    assert reason == "'1,2,3': expected eight whole numbers and a text, with commas between"


def test_real_receipts_are_70_samples_with_their_values(shared):
    found = {sample.images[0]: sample for sample in samples(shared / "data" / "sroie_receipts")}
    assert len(found) == 70
    assert found["img/001.jpg"].text.split("\n")[:11] == [
        "TAN WOON YANN",
        "INDAH GIFT & HOME DECO",
        "27,JALAN DEDAP 13,",
        "TAMAN JOHOR JAYA,",
        "81100 JOHOR BAHRU,JOHOR.",
        "TEL:07-3507405 FAX:07-3558160",
        "RECEIPT",
        "19/10/2018 20:49:59 #01",
        "CASHIER: CN LOCATION/SP: 05 /0531",
        "MB: MO26588",
        "ROOM NO: 01 050100035279",
    ]
    assert found["img/047.jpg"].text == (
        "RESTAURANT SIN DU\nK3-113,JL IBRAHIM SULTAN\n80300 JOHOR BAHRU\nJOHOR\nH/P: 019-7521215\n"
        "016-7867868\n09/03/2018 21:28 0001\n000000#7259 CASHIER01\nDPT.05 RM 149.00\n"
        "DPT.04 RM 21.00\nCASH\nRM 170.00"
    )
    assert found["img/320.jpg"].text.split("\n")[8:16] == [
        "MC #01",
        "REG C01 04-05-2018 16:07 456277",
        "BACON RM4.90 S",
        "WALNUT RAISIN RM8.60 S",
        "DARK RYE BUN RM6.90 S",
        "3 NO",
        "SUBTOTAL RM20.40",
        "CASH RM20.40",
    ]
    values = found["img/001.jpg"].structure[0].value
    assert list(values) == ["company", "date", "address", "total"] and values["total"] == "60.30"
    assert found["img/001.jpg"].also_read == ("key/001.json",)
