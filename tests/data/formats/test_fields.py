from __future__ import annotations

import pytest

from deepseek_ocr.data.truth.structures import Fields
from deepseek_ocr.data.truth.targets import prepare_truth

from .folders import detected, make, only, problems, samples

INVOICE = {"number": "F-12, ä", "amount": 29.990, "lines": [{"item": "A", "price": 2}]}
TEXT = '{"number": "F-12, ä", "amount": 29.99, "lines": [{"item": "A", "price": 2}]}'


@pytest.mark.parametrize("content", [INVOICE, [INVOICE], {"gt_parse": INVOICE}])
def test_keys_and_values_beside_a_pdf_are_its_fields(tmp_path, content):
    sample = only(make(tmp_path, {"a.pdf": None, "a.json": content}))
    assert detected(tmp_path) == "fields"
    assert (sample.images, sample.text) == (("a.pdf#page=*",), TEXT)
    assert sample.structure == (Fields(value=INVOICE),)
    assert sample.source == "a.json:1"


@pytest.mark.parametrize(
    "target, text",
    [
        ("auto", '{"net": 29.90, "iban": 12345678901234567.89, "vat": [1e2, -0]}'),
        ("json", '{"net": 29.90, "iban": 12345678901234567.89, "vat": [1e2, -0]}'),
        ("text", "net: 29.90\niban: 12345678901234567.89\nvat:\n  1e2\n  -0"),
        ("markdown", "- net: 29.90\n- iban: 12345678901234567.89\n- vat:\n  - 1e2\n  - -0"),
    ],
)
@pytest.mark.parametrize("content", ["{}", "[{}]", '{{"gt_parse": {}}}'])
def test_numbers_stay_as_written_in_every_target(tmp_path, content, target, text):
    written = '{"net": 29.90, "iban": 12345678901234567.89, "vat": [1e2, -0]}'
    sample = only(make(tmp_path, {"a.pdf": None, "a.json": content.format(written)}))
    assert prepare_truth(sample, target=target, normalize="nfc").text == text


def test_a_number_that_no_float_can_hold_is_a_problem(tmp_path):
    make(tmp_path, {"a.png": None, "a.json": '{"net": 29.90, "vat": 1e400}'})
    assert problems(tmp_path, "fields") == [("not valid JSON", "a.json:1")]


@pytest.mark.parametrize(
    "content",
    [
        {"text": "t", "number": 3},
        {"Text": "t", "number": 3},
        {"label": "t", "number": 3},
        {"x": 1},
        {"messages": [], "number": 3},
        {"shapes": [], "number": 3},
    ],
)
def test_a_sidecar_is_not_mistaken_for_fields(tmp_path, content):
    make(tmp_path, {"a.png": None, "a.json": content})
    assert detected(tmp_path) == "sidecar"


def test_files_without_fields_are_problems(tmp_path):
    names = {f"{name}.png": None for name in "abcdef"}
    make(
        tmp_path,
        {
            **names,
            "a.json": INVOICE,
            "b.json": {},
            "c.json": [],
            "d.json": [INVOICE, INVOICE],
            "e.json": '[{"a": 1, "a": 2}]',
            "f.json": "3",
        },
    )
    assert problems(tmp_path, "fields") == [
        ("empty text", "b.json:1"),
        ("bad value", "c.json:1"),
        ("bad value", "d.json:1"),
        ("not valid JSON", "e.json:1"),
        ("not valid JSON", "f.json:1"),
    ]


def test_real_invoices_are_six_samples(shared):
    root = shared / "data" / "invoice2data_pdfs"
    found = {s.images[0]: s for s in samples(root)}
    assert detected(root) == "fields" and len(found) == 6
    assert found["FlipkartInvoice.pdf#page=*"].text == (
        '{"issuer": "Flipkart", "amount": 319.0, "date": "2015-10-20", '
        '"invoice_number": "#BLR_WFLD20151000982590", "order_id": "OD304175096047380001", '
        '"currency": "INR", "desc": "Invoice from Flipkart"}'
    )
    assert found["NetpresseInvoice.pdf#page=*"].text == (
        '{"issuer": "NETPRESSE", "amount": 56.02, "amount_untaxed": 46.68, "date": "2022-11-28", '
        '"invoice_number": "2022089083", "siren": 530848134, "currency": "EUR", '
        '"desc": "Invoice from NETPRESSE"}'
    )
    assert found["SammyMaystoneLinesTest.pdf#page=*"].text == (
        '{"issuer": "Sammy Maystone - For Lines testing", "invoice_number": "invoice_number_1", '
        '"date": "2022-01-01", "line_items": [{"item": "A", "desc": "Parts: 1 x cap_a"}, '
        '{"item": "B", "desc": "Parts: 2 x shop supplies"}], "currency": "USD", '
        '"desc": "Invoice from Sammy Maystone - For Lines testing"}'
    )
