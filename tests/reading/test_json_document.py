from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.reading.json_document import document_json
from deepseek_ocr.reading.regions import Region
from deepseek_ocr.reading.results import ReadPage


def written(*pages, source="a.pdf", model="nano", prompt="<image>\nFree OCR."):
    return "".join(document_json(pages, source=source, model=model, prompt=prompt))


def test_a_document_has_the_published_keys():
    region = Region(label="text", box=(1, 2, 3, 4), text="x")
    page = ReadPage(
        number=3,
        status="ok",
        text="raw",
        markdown="made",
        width=10,
        height=20,
        regions=(region,),
        seconds=1.5,
        attempts=2,
    )
    failed = ReadPage(number=4, status="failed", reason="is damaged")
    assert json.loads(written(page, failed)) == {
        "source": "a.pdf",
        "model": "nano",
        "prompt": "<image>\nFree OCR.",
        "pages": [
            {
                "page": 3,
                "status": "ok",
                "reason": "",
                "text": "raw",
                "markdown": "made",
                "width": 10,
                "height": 20,
                "regions": [{"label": "text", "box": [1, 2, 3, 4], "text": "x"}],
            },
            {
                "page": 4,
                "status": "failed",
                "reason": "is damaged",
                "text": "",
                "markdown": "",
                "width": 0,
                "height": 0,
                "regions": [],
            },
        ],
    }


def test_a_page_is_a_line():
    pages = [ReadPage(number=number, status="ok", text="a\nb") for number in (1, 2)]
    lines = written(*pages).splitlines()
    assert len(lines) == 4
    assert json.loads(lines[1].rstrip(","))["page"] == 1
    assert json.loads(written()) | {"pages": []} == json.loads(written())


def test_a_document_that_could_not_be_opened_has_a_page_without_a_number():
    page = ReadPage(number=None, status="failed", reason="needs a password")
    assert json.loads(written(page))["pages"][0]["page"] is None


def test_it_is_written_page_by_page():
    taken = []

    def pages():
        for number in range(1, 100):
            taken.append(number)
            yield ReadPage(number=number, status="ok")

    pieces = document_json(pages(), source="", model="", prompt="")
    next(pieces), next(pieces)
    assert len(taken) == 1


@given(st.text(), st.text())
def test_whatever_is_said_comes_back(text, source):
    page = ReadPage(number=1, status="ok", text=text, markdown=text, reason=text)
    document = json.loads(written(page, source=source))
    assert document["source"] == source
    assert document["pages"][0]["text"] == document["pages"][0]["markdown"] == text
