from __future__ import annotations

import pytest

from deepseek_ocr.data.annotations import Region
from deepseek_ocr.data.truth.structures import Fields

from .folders import detected, make, only, reasons


def word(text, x, y, row_id, is_key=0):
    quad = {
        "x1": x,
        "y1": y,
        "x2": x + 20,
        "y2": y,
        "x3": x + 20,
        "y3": y + 10,
        "x4": x,
        "y4": y + 10,
    }
    return {"quad": quad, "is_key": is_key, "row_id": row_id, "text": text}


def line(category, group, *words):
    return {"words": list(words), "category": category, "group_id": group, "sub_group_id": 0}


LINES = [
    line("menu.price", 3, word("9.00", 100, 4, 7)),
    line("menu.nm", 3, word("HOT", 0, -3, 7), word("TEA,", 30, 0, 7)),
    line("menu.nm", 4, word("CAKE", 0, 20, 8)),
    line("total.total_price", 5, word("TOTAL", 0, 40, 9, is_key=1), word("12", 60, 40, 9)),
    line("menu.etc", 6),
]
FIELDS = {
    "menu": [{"price": "9.00", "nm": "HOT TEA,"}, {"nm": "CAKE"}],
    "total": {"total_price": "12"},
}


def receipt(tmp_path, lines=LINES, **more):
    content = {"valid_line": lines, "meta": {"split": "train"}, "roi": {}, **more}
    return make(tmp_path, {"image/r.png": None, "json/r.json": content})


def test_words_are_put_into_the_rows_they_were_printed_in(tmp_path):
    sample = only(receipt(tmp_path))
    assert detected(tmp_path) == "cord"
    assert (sample.images, sample.text) == (("image/r.png",), "HOT TEA, 9.00\nCAKE\nTOTAL 12")
    assert sample.attributes == {"split": "train"}
    assert sample.regions[0] == Region(label="menu.nm", box=(0, 0, 50, 10), text="HOT TEA,")
    assert [region.label for region in sample.regions][1:] == [
        "menu.price",
        "menu.nm",
        "total.total_price",
    ]


def test_without_row_ids_the_places_of_the_words_decide(tmp_path):
    lines = [line("menu.nm", 1, word("B", 30, 0, None), word("A", 0, 1, None))]
    assert only(receipt(tmp_path, lines)).text == "A B"


def test_fields_are_made_of_the_categories_unless_the_file_has_them(tmp_path):
    assert only(receipt(tmp_path / "1")).structure == (Fields(value=FIELDS),)
    given = only(receipt(tmp_path / "2", gt_parse={"menu": {"nm": "TEA"}}))
    assert given.structure == (Fields(value={"menu": {"nm": "TEA"}}),)


@pytest.mark.parametrize(
    "bad, reason",
    [
        ({"category": "menu.nm"}, "valid_line 2: expected an object with a list of 'words'"),
        (line("menu.nm", 1, {"text": "x"}), "valid_line 2: a word without its 'quad' of corners"),
        (line("a", 1, {"text": "x", "quad": {"x1": 1}}), "valid_line 2: 'None' is no number of"),
        (line(3, 1), "valid_line 2: 'category': expected a string, found 3"),
    ],
)
def test_a_bad_line_is_named(tmp_path, bad, reason):
    (found,) = reasons(receipt(tmp_path, [LINES[0], bad]), "cord")
    assert found.startswith(reason)
